"""The control path: turns each `SmtpGateway` into running gateway pods, and says how they are."""
