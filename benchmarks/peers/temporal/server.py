"""Temporal's server, built from the Go proxy, on a PostgreSQL of ours."""

import json
from pathlib import Path
from typing import Any

from oms.stack.artifacts import cache_dir
from oms.stack.ports import HOST, free_port
from oms.stack.process import Child
from temporalio.client import Client

from peers.installing import run
from peers.postgres import USER, Postgres

VERSION = "v1.32.1"
MODULE = "go.temporal.io/server"
PROGRAMS = {"server": "cmd/server", "sql": "cmd/tools/sql"}
PLUGIN = "postgres12"
STORE, VISIBILITY = "temporal", "temporal_visibility"
SCHEMAS = {STORE: "postgresql/v12/temporal", VISIBILITY: "postgresql/v12/visibility"}
SERVICES = ("frontend", "history", "matching", "worker")
SHARDS = 128
"""The least that is recommended for production; four, as for development, were no faster in a short run."""
CONNECTIONS = 40
NO_LIMIT = 1_000_000
LIMITS = {
    "frontend.rps",
    "frontend.namespaceRPS",
    "frontend.namespaceCount",
    "frontend.persistenceMaxQPS",
    "history.rps",
    "history.persistenceMaxQPS",
    "matching.rps",
    "matching.persistenceMaxQPS",
}
"""What would slow a busy namespace down on purpose."""


class Server(Child):
    """All four services in one process, as they are on one machine. Ready when its frontend is healthy."""

    def __init__(self, programs: Path, directory: Path, postgres: Postgres) -> None:
        directory.mkdir(parents=True)
        _make_tables(programs / "sql", postgres)
        port = free_port()
        self.address = f"{HOST}:{port}"
        limits, config = directory / "limits.yaml", directory / "config.yaml"
        limits.write_text(json.dumps({name: [{"value": NO_LIMIT}] for name in sorted(LIMITS)}))  # JSON is YAML
        config.write_text(json.dumps(_config(port, postgres.port, limits)))
        super().__init__(
            "Temporal",
            [programs / "server", "--config-file", config, "--allow-no-auth", "start"],
            log=directory / "temporal.log",
            ready=self._answers,
        )

    async def _answers(self) -> bool:
        try:
            await Client.connect(self.address)
        except RuntimeError:  # what the SDK raises for a server that it does not reach, or that is not healthy yet
            return False
        return True


def installed() -> Path:
    """Where the programs are, built if they are not in the cache, which takes long. Raises Unavailable."""
    home = cache_dir() / "peers" / f"temporal-{VERSION}"
    if not all((home / program).exists() for program in PROGRAMS):
        run(["go", "install", *(f"{MODULE}/{path}@{VERSION}" for path in PROGRAMS.values())], env={"GOBIN": str(home)})
    return home


def _make_tables(tool: Path, postgres: Postgres) -> None:
    for database, schema in SCHEMAS.items():
        where = ["--ep", HOST, "--port", str(postgres.port), "--user", USER, "--db", database]
        asked: list[str | Path] = [tool, "--plugin", PLUGIN, *where]
        run([*asked, "create-database"])
        run([*asked, "setup-schema", "--version", "0.0"])
        run([*asked, "update-schema", "--schema-name", schema])


def _config(port: int, store_port: int, limits: Path) -> dict[str, Any]:
    def store(database: str) -> dict[str, Any]:
        sizes = {"maxConns": CONNECTIONS, "maxIdleConns": CONNECTIONS, "maxConnLifetime": "1h"}
        where = {"databaseName": database, "connectAddr": f"{HOST}:{store_port}", "connectProtocol": "tcp"}
        return {"sql": {"pluginName": PLUGIN, "user": USER, "password": "", **where, **sizes}}

    ports = {name: {"grpcPort": free_port(), "membershipPort": free_port()} for name in SERVICES}
    ports["frontend"]["grpcPort"] = port
    return {
        "log": {"stdout": True, "level": "warn"},
        "persistence": {
            "defaultStore": STORE,
            "visibilityStore": VISIBILITY,
            "numHistoryShards": SHARDS,
            "datastores": {database: store(database) for database in SCHEMAS},
        },
        "global": {"membership": {"maxJoinDuration": "30s", "broadcastAddress": HOST}},
        "services": {name: {"rpc": {**own, "bindOnLocalHost": True}} for name, own in ports.items()},
        "clusterMetadata": {
            "failoverVersionIncrement": 10,
            "masterClusterName": "active",
            "currentClusterName": "active",
            "clusterInformation": {
                "active": {
                    "enabled": True,
                    "initialFailoverVersion": 1,
                    "rpcName": "frontend",
                    "rpcAddress": f"{HOST}:{port}",
                }
            },
        },
        "dcRedirectionPolicy": {"policy": "noop"},
        "dynamicConfigClient": {"filepath": str(limits), "pollInterval": "60s"},
    }
