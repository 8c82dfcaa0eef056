"""Handing mail to a next hop over SMTP, as a client (RFC 5321): a session, a transaction, an outcome for each recipient.

Nothing in here knows the queue: what is to be tried again is decided elsewhere, from the outcomes.
"""
