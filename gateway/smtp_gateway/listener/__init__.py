"""Where mail comes in: sockets, TLS and the SMTP dialogue. The only room that knows aiosmtpd."""
