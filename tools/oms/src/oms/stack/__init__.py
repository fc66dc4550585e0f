"""The local stack: Kafka, MongoDB and Redis as ordinary processes, from package registries alone."""
