"""Any history of asks, echoes, crashes, takeovers, zombies and broken steps comes to what a plain fold comes to."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from chassis.decision import Call
from chassis.entry import Outgoing
from chassis.testing.virtual_time import VirtualTimeLoop
from chassis.testing.world import LIMITS, Process, World
from contracts.wire import link_of
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

SMALL = replace(LIMITS, batch_max_messages=3, inbox_max_messages=6, documents_in_memory=1)
REASONS = ("one", "two", "three", "call bank", "alarm 2", "ignore")
SEATS = st.sampled_from([("order", 0), ("order", 1), ("payment", 0), ("payment", 1)])


class History(RuleBasedStateMachine):
    """Two services with two partitions each, in which anything may happen at any time."""

    toys: SimpleNamespace

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=VirtualTimeLoop)
        self.calls: list[str] = []
        self.run(self.begin())

    def run(self, step: Coroutine[Any, Any, None]) -> None:
        self.runner.run(step)

    async def begin(self) -> None:
        self.world = World()
        self.services = {"order": self.toys.counter_with(gateway=self), "payment": self.toys.payer}
        self.orders = [*self.toys.orders_on(self.world, 0, 2), *self.toys.orders_on(self.world, 1, 1)]
        self.seats: dict[tuple[str, int], list[Process]] = {}
        for service in self.services:
            for number in (0, 1):
                self.seat((service, number))

    def seat(self, seat: tuple[str, int]) -> Process:
        process = self.world.start(self.services[seat[0]], seat[1], limits=SMALL)
        self.seats.setdefault(seat, []).append(process)
        return process

    def succeed(self, seat: tuple[str, int], process: Process) -> None:
        """Another one takes the place of this one, if none has yet: two that live would fence each other for good."""
        if self.seats[seat][-1] is process:
            self.seat(seat)

    async def perform(self, call: Call) -> object:
        self.calls.append(call.id)
        if call.tries == 0:
            await asyncio.sleep(11)
        return "yes"

    @rule(order=st.integers(0, 2), reason=st.sampled_from(REASONS), astray=st.booleans())
    def ask(self, order: int, reason: str, astray: bool) -> None:
        async def send() -> None:
            self.world.send(self.toys.ask(self.orders[order], reason), partition=1 if astray else None)

        self.run(send())

    @rule(topic=st.sampled_from(["order.intake", "payment.commands", "payment.events"]), place=st.integers(0, 1000))
    def echo(self, topic: str, place: int) -> None:
        """A record comes again, as after a publish that was repeated."""

        async def again() -> None:
            if records := self.world.topics.all(topic):
                it = records[place % len(records)]
                self.world.topics.write([Outgoing(it.topic, it.partition, it.key, it.value, it.headers)])

        self.run(again())

    @rule(seconds=st.sampled_from([0.001, 0.1, 1, 5, 20]))
    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @rule(seat=SEATS, step=st.integers(1, 8))
    def crash(self, seat: tuple[str, int], step: int) -> None:
        """The process dies a few steps from now, and another takes its place."""
        victim = self.seats[seat][-1]
        doomed = len(victim.steps) + step

        async def die(_: str) -> None:
            if len(victim.steps) >= doomed and not victim.task.done():
                victim.before = None
                victim.crash()
                asyncio.get_running_loop().call_soon(self.succeed, seat, victim)

        victim.before = die

    @rule(seat=SEATS, seconds=st.sampled_from([0.01, 1, 6, 15]))
    def take_over(self, seat: tuple[str, int], seconds: float) -> None:
        """The process freezes, another takes its place, and it wakes as a zombie until the group throws it out."""

        async def freeze() -> None:
            zombie = self.seats[seat][-1]
            zombie.freeze()
            self.seat(seat)
            asyncio.get_running_loop().call_later(seconds, zombie.thaw)
            asyncio.get_running_loop().call_later(seconds + 3, zombie.crash)

        self.run(freeze())

    @rule(seat=SEATS)
    def stop(self, seat: tuple[str, int]) -> None:
        async def hand_over() -> None:
            process = self.seats[seat][-1]
            process.before = None
            await process.stop()
            self.succeed(seat, process)

        self.run(hand_over())

    @rule(seat=SEATS, name=st.sampled_from(["claimed", "append", "appended", "publish", "load", "save", "checkpoint"]))
    def break_a_step(self, seat: tuple[str, int], name: str) -> None:
        """The next step of this name fails; nobody knows whether it was done."""
        process = self.seats[seat][-1]

        async def fail(step: str) -> None:
            if step == name:
                process.before = None
                raise ConnectionError(name)

        process.before = fail

    def teardown(self) -> None:
        try:
            self.run(self.come_to_rest())
        finally:
            self.run(self.world.close())
            self.runner.close()

    async def come_to_rest(self) -> None:
        await asyncio.sleep(60)
        for processes in self.seats.values():
            assert processes[-1].partition.state == "running"
        for order_id in self.orders:
            self.check_order(order_id)
        for topic in ("payment.commands", "payment.events"):
            self.check_links(topic)

    def check_order(self, order_id: str) -> None:
        asked = list(dict.fromkeys(self.asked_for(order_id)))
        tally = self.world.read(self.services["order"], self.toys.Tally, order_id)
        heard = list(tally.heard) if tally else []
        voids = [f"voided {number + 1}" for number in range(len(asked))]
        called = ["unknown", "answered yes"] if "call bank" in asked else []
        rang = ["rang"] if "alarm 2" in asked else []
        assert [what for what in heard if what in REASONS] == asked
        assert [what for what in heard if what in voids] == voids
        assert sorted(heard) == sorted([*asked, *voids, *called, *rang])
        assert tally is None or (tally.alarm, tally.calls) == (None, ())

    def asked_for(self, order_id: str) -> list[str]:
        """What the order's own partition was asked, in order."""
        home = self.world.topics.read("order.intake", self.world.log.partition_of(order_id))
        bodies = [self.toys.read_ask(record) for record in home]
        return [ask.reason for ask in bodies if ask.order_id == order_id and ask.reason != "ignore"]

    def check_links(self, topic: str) -> None:
        """Each link counts up from one, and what comes twice on it is the same."""
        for number in (0, 1):
            contents: dict[tuple[str, int], object] = {}
            for record in self.world.topics.read(topic, number):
                source, sequence = link_of(record)
                assert sequence == 1 or (source, sequence - 1) in contents
                assert contents.setdefault((source, sequence), (record.value, record.headers)) == (
                    record.value,
                    record.headers,
                )


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
def test_any_history_comes_to_what_a_plain_fold_comes_to(toys: SimpleNamespace) -> None:
    machine = type("AnyHistory", (History,), {"toys": toys})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
