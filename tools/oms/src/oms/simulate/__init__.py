"""Runs all of it in one process and in virtual time, has everything go wrong that can, and audits what comes of it.

What runs is the real thing: the engine, its MongoDB store, every `decide`, the saga, the gateways' own simulators. What
is simulated is what lies outside: the event loop's time, Kafka's topics, MongoDB's collections, and the lines to them.
All chance comes from one seed, so that a seed that fails does so every time.
"""
