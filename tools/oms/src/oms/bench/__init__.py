"""Measures the whole of it on this machine: real Kafka, real MongoDB, real processes, orders through all of them.

Every figure is measured on the run that prints it, and next to what it is compared with: each side gets the machine to
itself for a while, one after the other, and then all of them again.
"""
