// A client of nodemailer: reads one job as JSON, builds its message, writes down what it built, sends that, and says what the server said.
const fs = require("fs");
const nodemailer = require("nodemailer");
const MailComposer = require("nodemailer/lib/mail-composer");

const job = JSON.parse(fs.readFileSync(0, "utf8"));
const attachments = job.attachment ? [{ path: job.attachment, filename: "data.bin" }] : [];
const mail = { from: job.sender, to: job.recipients, subject: job.subject, text: job.text, attachments };

async function main() {
  const raw = await new MailComposer(mail).compile().build();
  fs.writeFileSync(job.built, raw);
  const transport = nodemailer.createTransport({
    host: job.host,
    port: job.port,
    secure: job.implicit,
    requireTLS: !job.implicit,
    auth: { user: job.login, pass: job.password },
    tls: { ca: fs.readFileSync(job.authority) },
  });
  const sent = await transport.sendMail({ raw, envelope: { from: job.sender, to: job.recipients } });
  console.log(sent.response, ...(sent.rejectedErrors || []).map((error) => error.response));
}

main().catch((error) => {
  console.log(error.response || "", error.message, ...(error.rejectedErrors || []).map((one) => one.response));
  process.exitCode = 1;
});
