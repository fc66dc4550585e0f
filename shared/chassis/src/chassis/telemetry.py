"""What operators see: metrics for Prometheus and structured logs."""

import logging
import sys
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

FAST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Meters:
    """Every metric of a service; each name ends in its unit."""

    def __init__(self) -> None:
        # When each series began would be as many lines again, and nobody reads them.
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library does not say that it returns nothing
        self.registry = CollectorRegistry()
        r = self.registry
        self.taken = Counter("throughline_messages_taken", "Messages decided on", ["type"], registry=r)
        self.published = Counter("throughline_messages_published", "Messages published", ["topic"], registry=r)
        self.echoes = Counter("throughline_echoes_dropped", "Records dropped because they had been heard", registry=r)
        self.gaps = Counter("throughline_gaps", "Gaps seen on incoming links", ["topic"], registry=r)
        self.dead_letters = Counter(
            "throughline_dead_letters", "Records that became dead letters", ["topic"], registry=r
        )
        self.publish_failures = Counter(
            "throughline_publish_failures", "Outboxes that Kafka did not take at once", registry=r
        )
        self.checkpoint_failures = Counter(
            "throughline_checkpoint_failures", "Checkpoints that were not written", registry=r
        )
        self.read_failures = Counter(
            "throughline_read_failures", "Times that alarms or calls that are due next were not read", registry=r
        )
        self.forwarded = Counter("throughline_forwarded", "Records sent on to the partition of their key", registry=r)
        self.bugs = Counter("throughline_bugs", "Inputs that made decide raise", registry=r)
        self.alarms = Counter("throughline_alarms_rung", "Alarms that rang", registry=r)
        self.calls = Counter("throughline_calls", "Calls to the outside world", ["outcome"], registry=r)
        self.fenced = Counter("throughline_fenced", "Times that another owner was met", registry=r)
        self.parked = Gauge("throughline_parked", "Orders that are parked", ["partition"], registry=r)
        stuck = ["partition", "what", "why"]
        self.stuck = Gauge("throughline_stuck", "What waits for a person", stuck, registry=r)
        self.stuck_since = Gauge(
            "throughline_stuck_since_seconds",
            "Since when the oldest of it waits, as seconds since 1970",
            stuck,
            registry=r,
        )
        self.alarms_set = Gauge(
            "throughline_alarms_set", "Alarms that ring in the next minutes", ["partition"], registry=r
        )
        self.documents = Gauge("throughline_documents_in_memory", "Documents in memory", ["partition"], registry=r)
        self.waiting = Gauge(
            "throughline_inbox_messages", "Records that wait to be decided on", ["partition"], registry=r
        )
        self.lag = Gauge("throughline_lag_messages", "Records not yet taken", ["topic", "partition"], registry=r)
        self.running = Gauge(
            "throughline_partition_running", "1 while the partition is served", ["partition"], registry=r
        )
        self.batch = Histogram("throughline_batch_messages", "Inputs in a batch", buckets=SIZES, registry=r)
        self.decide_s = Histogram("throughline_decide_seconds", "Deciding a batch", buckets=FAST_S, registry=r)
        self.journal_s = Histogram("throughline_journal_seconds", "Inserting an entry", buckets=FAST_S, registry=r)
        self.publish_s = Histogram("throughline_publish_seconds", "Publishing outboxes", buckets=FAST_S, registry=r)
        self.checkpoint_s = Histogram(
            "throughline_checkpoint_seconds", "Writing a checkpoint", buckets=FAST_S, registry=r
        )

    def forget(self, partition: int) -> None:
        """Show a partition as not served, and nothing else of it: what it has now is measured by its next owner."""
        label = {"partition": str(partition)}
        for gauge in (
            self.parked,
            self.stuck,
            self.stuck_since,
            self.alarms_set,
            self.documents,
            self.waiting,
            self.lag,
        ):
            gauge.remove_by_labels(label)
        self.running.labels(**label).set(0)


def configure_logging(service: str, level: str) -> None:
    """One JSON object a line on standard output, for our own logs and the libraries'."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                lambda _, __, event: {"service": service, **event},
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("throughline").setLevel(level.upper())


def is_telling() -> bool:
    """Whether every single decision is logged; asked first, because saying it costs more than deciding."""
    return logging.getLogger("throughline").isEnabledFor(logging.DEBUG)


def logger(**context: object) -> Any:  # noqa: ANN401 - structlog's loggers are lazy proxies without a type of their own
    """Our log, with this context on every line."""
    return structlog.stdlib.get_logger("throughline").bind(**context)
