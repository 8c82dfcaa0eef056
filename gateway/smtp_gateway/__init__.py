"""The data path: accepts mail over SMTP, keeps it safe on disk, and relays it.

Importing this package imports nothing else, so that the operator can use `smtp_gateway.config` without the gateway's dependencies.
"""

__version__ = "0.1.0"
