"""Temporal: a server that keeps the history of workflows, and workers that carry them on."""
