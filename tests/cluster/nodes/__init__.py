"""What happens to nodes: tests that need a second one, and break it."""
