"""What stands in for the outside world, in tests and in simulations of the real engine."""
