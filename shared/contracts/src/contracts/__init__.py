"""Every message and topic of Throughline, defined once."""
