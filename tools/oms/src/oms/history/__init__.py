"""What the log says about an order: read, gathered, put in order, and decided on once more."""
