"""Kafka behind the ports: what is delivered from it, written to it and looked up on it."""
