"""A process that carries orders through the saga: `python -m peers.dbos.worker NUMBER IN_FLIGHT DATABASE_URL`."""

import asyncio
import sys
import threading

from dbos import DBOS, DBOSConfig

from peers.saga import STAGES, Done, Order
from peers.saga import do as work
from peers.workers import READY

QUEUE = "orders"
WORKFLOW = "saga"
POLLING_S = 0.05
"""The default of a second would leave workers idle between the orders that they take at once."""


@DBOS.step()
async def do(step: str, order: Order) -> Done:
    return work(step, order)


@DBOS.workflow(name=WORKFLOW)
async def saga(order: Order) -> None:
    for stage in STAGES:
        await asyncio.gather(*(do(step, order) for step in stage))


def main() -> None:
    number, in_flight, url = sys.argv[1:]
    config = DBOSConfig(
        name="peers", system_database_url=url, executor_id=number, application_version="1", log_level="WARNING"
    )
    DBOS(config=config)
    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=int(in_flight), polling_interval_sec=POLLING_S)
    print(READY, flush=True)  # noqa: T201  # who started us waits for it in our log
    threading.Event().wait()


if __name__ == "__main__":
    main()
