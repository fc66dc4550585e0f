"""Carries orders through the saga, when Restate calls; Hypercorn serves it."""

import restate

from peers.saga import STAGES, Order, do

SERVICE = "saga"
HANDLER = "run"

saga = restate.Service(SERVICE)


@saga.handler(HANDLER)
async def run(ctx: restate.Context, order: Order) -> None:
    for stage in STAGES:
        await restate.gather(*(ctx.run_typed(step, do, step=step, of=order) for step in stage))


app = restate.app([saga])
