"""Proves from the log alone that nothing was lost, doubled or oversold, and that the stores say the same.

What must hold is checked by modules that take records, the histories of orders or documents from whoever has them, and
say what is wrong. So they check a real log as well as one that a test or a simulator keeps in memory. `auditor.py` has
all of them look at a log, `auditing.py` reads that and the databases of a system, and `spool.py` has room for it.
"""
