"""Listener, spool and delivery together, on loopback."""
