"""What tests lean on, tested."""
