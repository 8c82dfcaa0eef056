"""The ports of a gateway that are not for mail: probes and metrics in plain HTTP, reports to the operator over mutual TLS."""
