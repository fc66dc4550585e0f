"""Takes orders in and carries each through the saga."""
