"""The engine: one partition of a service, folding what it hears into entries, and saying what follows."""
