"""One test for every implementation of a port."""
