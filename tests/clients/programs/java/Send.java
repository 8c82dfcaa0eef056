import jakarta.mail.Message;
import jakarta.mail.MessagingException;
import jakarta.mail.Session;
import jakarta.mail.Transport;
import jakarta.mail.internet.InternetAddress;
import jakarta.mail.internet.MimeBodyPart;
import jakarta.mail.internet.MimeMessage;
import jakarta.mail.internet.MimeMultipart;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.Properties;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocketFactory;
import javax.net.ssl.TrustManagerFactory;

/** A client of Angus Mail: reads one job of lines "name value", builds its message, writes down what it built, and sends it. */
public final class Send {
    private static SSLSocketFactory trusting(String authority) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null);
        try (InputStream certificate = Files.newInputStream(Path.of(authority))) {
            store.setCertificateEntry("authority", CertificateFactory.getInstance("X.509").generateCertificate(certificate));
        }
        TrustManagerFactory managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        managers.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, managers.getTrustManagers(), null);
        return context.getSocketFactory();
    }

    private static Properties settings(Properties job) throws Exception {
        String protocol = Boolean.parseBoolean(job.getProperty("implicit")) ? "smtps" : "smtp";
        Properties settings = new Properties();
        settings.setProperty("mail.transport.protocol", protocol);
        settings.setProperty("mail." + protocol + ".auth", "true");
        settings.setProperty("mail." + protocol + ".starttls.required", "true");
        settings.setProperty("mail." + protocol + ".ssl.checkserveridentity", "true");
        settings.put("mail." + protocol + ".ssl.socketFactory", trusting(job.getProperty("authority")));
        settings.setProperty("mail." + protocol + ".from", job.getProperty("sender"));
        settings.setProperty("mail.mime.allowutf8", "true");
        return settings;
    }

    private static MimeMessage message(Session session, Properties job) throws Exception {
        MimeMessage message = new MimeMessage(session);
        message.setFrom(new InternetAddress(job.getProperty("sender"), false));
        for (String recipient : job.getProperty("recipients").split(" ")) {
            message.addRecipient(Message.RecipientType.TO, new InternetAddress(recipient, false));
        }
        message.setSubject(job.getProperty("subject"), "UTF-8");
        String text = job.getProperty("text");
        if (job.getProperty("attachment").isEmpty()) {
            message.setText(text, "UTF-8");
        } else {
            MimeBodyPart words = new MimeBodyPart();
            words.setText(text, "UTF-8");
            MimeBodyPart file = new MimeBodyPart();
            file.attachFile(job.getProperty("attachment"), "application/octet-stream", "base64");
            message.setContent(new MimeMultipart(words, file));
        }
        message.saveChanges();
        return message;
    }

    public static void main(String[] arguments) throws Exception {
        Properties job = new Properties();
        for (String line : new String(System.in.readAllBytes(), StandardCharsets.UTF_8).split("\n")) {
            int blank = line.indexOf(' ');
            job.setProperty(line.substring(0, blank), line.substring(blank + 1));
        }
        Session session = Session.getInstance(settings(job));
        MimeMessage message = message(session, job);
        try (OutputStream built = Files.newOutputStream(Path.of(job.getProperty("built")))) {
            message.writeTo(built);
        }
        try (Transport transport = session.getTransport()) {
            int port = Integer.parseInt(job.getProperty("port"));
            transport.connect(job.getProperty("host"), port, job.getProperty("login"), job.getProperty("password"));
            transport.sendMessage(message, message.getAllRecipients());
        } catch (MessagingException error) {
            for (Exception each = error; each != null; each = each instanceof MessagingException more ? more.getNextException() : null) {
                System.out.println(each.getMessage());
            }
            System.exit(1);
        }
    }
}
