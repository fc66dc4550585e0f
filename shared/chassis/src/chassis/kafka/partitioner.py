"""In which partition a key is at home: known without a producer, for replays, audits and simulations ask it, too."""

from functools import lru_cache

from aiokafka.partitioner import murmur2


@lru_cache(maxsize=10_000)
def _hash(key: str) -> int:
    return int(murmur2(key.encode())) & 0x7FFFFFFF


def home_of(key: str, partitions: int) -> int:
    """The partition of a key, as Java's clients and aiokafka choose it: murmur2."""
    return _hash(key) % partitions
