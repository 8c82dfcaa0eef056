"""The Prometheus Operator's own controllers, and what they make of our resources; for `make test-long`."""
