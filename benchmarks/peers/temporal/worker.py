"""A process that carries orders through the saga: `python -m peers.temporal.worker NUMBER IN_FLIGHT ADDRESS`."""

import asyncio
import sys
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker

from peers.saga import STAGES, Done, Order
from peers.saga import do as work
from peers.workers import READY

NAMESPACE = "peers"
QUEUE = "orders"
STEP_WITHIN = timedelta(seconds=60)
MOST_SIDE_BY_SIDE = max(len(stage) for stage in STAGES)


@activity.defn
async def do(step: str, order: Order) -> Done:
    return work(step, order)


@workflow.defn
class Saga:
    @workflow.run
    async def run(self, order: Order) -> None:
        for stage in STAGES:
            await asyncio.gather(
                *(
                    workflow.execute_activity(do, args=[step, order], start_to_close_timeout=STEP_WITHIN)
                    for step in stage
                )
            )


async def main() -> None:
    _, in_flight, address = sys.argv[1:]
    worker = Worker(
        await Client.connect(address, namespace=NAMESPACE),
        task_queue=QUEUE,
        workflows=[Saga],
        activities=[do],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=int(in_flight) + 1,
        max_concurrent_workflow_tasks=int(in_flight) + 1,
        max_concurrent_activities=int(in_flight) * MOST_SIDE_BY_SIDE,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
    )
    async with worker:
        print(READY, flush=True)  # noqa: T201  # who started us waits for it in our log
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
