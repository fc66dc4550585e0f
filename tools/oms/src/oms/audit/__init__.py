"""Proves from the log alone that nothing was lost, doubled or oversold, and that the stores say the same.

One invariant a module. Each is pure: it takes records or the history of an order, and says what is wrong, so that it
can check a real log as well as one that a test or a simulator keeps in memory.
"""
