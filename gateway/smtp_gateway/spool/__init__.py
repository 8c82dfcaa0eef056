"""The hinge of the gateway: everything before it ends in an SMTP reply, everything after it in a settlement."""
