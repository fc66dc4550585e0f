"""Keeps the stock book of every location."""
