"""What the gateway adds to a message or writes itself: trace headers and notices."""
