"""Restate: a server that journals what handlers do, and calls them again."""
