"""Real mail programs against a running gateway: what they send arrives octet for octet, and what is refused they can tell."""
