<?php
// A client of PHPMailer: reads one job as JSON, builds and sends its message, writes down what it built, and says what the server said.
require '/usr/share/php/libphp-phpmailer/autoload.php';

use PHPMailer\PHPMailer\PHPMailer;

$job = json_decode(stream_get_contents(STDIN), true, 512, JSON_THROW_ON_ERROR);
$mail = new PHPMailer(true);
$mail->isSMTP();
$mail->Host = $job['host'];
$mail->Port = $job['port'];
$mail->SMTPSecure = $job['implicit'] ? PHPMailer::ENCRYPTION_SMTPS : PHPMailer::ENCRYPTION_STARTTLS;
$mail->SMTPOptions = ['ssl' => ['cafile' => $job['authority']]];
$mail->SMTPAuth = true;
$mail->Username = $job['login'];
$mail->Password = $job['password'];
$mail->SMTPDebug = 2;
$mail->Debugoutput = function ($line, $level) { echo $line, "\n"; };
// The server is to judge the addresses.
PHPMailer::$validator = function ($address) { return true; };
try {
    $mail->setFrom($job['sender'], '', true);
    foreach ($job['recipients'] as $recipient) {
        $mail->addAddress($recipient);
    }
    $mail->CharSet = 'UTF-8';
    $mail->Subject = $job['subject'];
    $mail->Body = $job['text'];
    if ($job['attachment']) {
        $mail->addAttachment($job['attachment'], 'data.bin');
    }
    $mail->send();
    file_put_contents($job['built'], $mail->getSentMIMEMessage());
} catch (Exception $error) {
    echo $error->getMessage(), "\n";
    exit(1);
}
