"""The gateway's configuration: one pydantic model on both sides, so that what the operator renders is what the gateway loads."""
