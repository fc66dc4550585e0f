"""Authorizes, captures, voids and refunds through a gateway."""
