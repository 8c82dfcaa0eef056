"""What operators of the system see: metrics and logs."""
