"""What a benchmark ran on: a figure means little without it."""

import platform
from dataclasses import dataclass
from typing import Self

import psutil


@dataclass(frozen=True)
class Machine:
    """The machine, and the Python that the services and the floor were run by."""

    cores: int
    memory_mb: int
    system: str
    python: str

    @classmethod
    def here(cls) -> Self:
        return cls(
            cores=psutil.cpu_count() or 1,
            memory_mb=psutil.virtual_memory().total // 1_000_000,
            system=f"{platform.system()} {platform.release()} {platform.machine()}",
            python=f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}",
        )

    def __str__(self) -> str:
        return f"{self.cores} cores, {self.memory_mb / 1000:.0f} GB, {self.system}, {self.python}"
