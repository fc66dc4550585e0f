"""A run: orders flow, things break and are mended, the orders stop, everything drains, and all of it is audited."""

import asyncio
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from time import time

from contracts.topics import SERVICES
from order.settings import Settings

from oms.audit import auditing
from oms.bench.orders import spread, stock
from oms.chaos.faults import Breaker, Unbroken
from oms.chaos.load import LINES, Load
from oms.chaos.plan import OF_A_SERVICE, Fault, Round, rounds
from oms.chaos.report import Broken, Report
from oms.chaos.watch import Part, Watch
from oms.progress import UNHEARD
from oms.stack import disk
from oms.stack.errors import StackError
from oms.stack.local import Ports
from oms.stack.process import until
from oms.system import Plan, System, running

WARM_UP_S = 5.0
RECOVERED_WITHIN_S = 90.0
"""How long a partition may not move, in seconds, before it counts as stuck."""
PATIENCE_S = 90.0
"""How long nothing may happen to any order, in seconds, before those that have not ended count as stuck."""
LIMITS_S = {"kill": 15.0, "restart": 2.0}
"""By kind of fault, how long recovery may take."""
SETTINGS = {
    "PICK_AFTER_S": "0.05",
    "PACK_AFTER_S": "0.05",
    "RETRY_FIRST_S": "0.5",
    "SIMULATOR_SLOW_S": "0.5",
    "DISPATCH_AFTER_S": "1",
    "DELIVER_AFTER_S": "1",
}
"""The simulated world takes little time; the services have the settings that they have by default."""

Look = Callable[[str], None]
"""Hears what is going on, from time to time; an empty text says that something has changed."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run is to be."""

    minutes: float
    seed: int
    rate: float
    """Orders a second."""
    kinds: Collection[str]
    logs: Path | None = None
    """Where the logs of all processes are kept; None removes them with everything else."""


class Storm:
    """One run on a system of its own."""

    def __init__(self, wanted: Wanted, look: Look) -> None:
        self._wanted = wanted
        self._look = look
        self._settings = Settings.from_environment()
        lacking = disk.lacking() if "disk" in wanted.kinds else ""
        self._kinds = [kind for kind in wanted.kinds if kind != "disk" or not lacking]
        self.report = Report(
            seed=wanted.seed,
            minutes=wanted.minutes,
            rate=wanted.rate,
            session_timeout_s=self._settings.session_timeout_s,
            skipped={"disk": lacking} if lacking else {},
        )

    async def run(self) -> Report:
        """Everything from the start of the system to the audit. Raises StackError, Unreachable and NoLog."""
        plan = Plan(Ports.free(), http_port=0, settings=SETTINGS, breakable=True, own_disk="disk" in self._kinds)
        async with running(plan, self._look) as system:
            await stock(system.addresses.kafka, spread(LINES).plenty())
            watch = Watch(system.addresses.kafka)
            load = Load(system.addresses.kafka, self._wanted.rate, watch.placed)
            try:
                # Where nobody watches, nobody knows what becomes of the orders.
                async with asyncio.TaskGroup() as group:
                    watching = group.create_task(watch.run())
                    await watch.begun.wait()
                    flowing = group.create_task(load.run())
                    await self._break(system, watch)
                    load.stop()
                    await flowing
                    await self._drain(watch)
                    await self._audit(system)
                    watching.cancel()
            except ExceptionGroup as failures:
                raise failures.exceptions[0] from None
            finally:
                self._keep_logs(system)
        return self.report

    async def _break(self, system: System, watch: Watch) -> None:
        if system.stack is None:
            raise StackError("only engines that run here can be broken")
        breaker = Breaker(system, system.stack)
        begun = time()
        await asyncio.sleep(WARM_UP_S)
        in_time = takewhile(
            lambda _: time() - begun < self._wanted.minutes * 60, rounds(self._wanted.seed, self._kinds)
        )
        for round_ in in_time:
            await asyncio.sleep(round_.calm_s)
            await self._go_through(round_, begun, breaker, watch)

    async def _go_through(self, round_: Round, begun: float, breaker: Breaker, watch: Watch) -> None:
        names = " and ".join(map(str, round_.faults))
        self._look(f"{names} …")
        broke = time()
        parts = [part for fault in round_.faults for part in watch.active(_concerned(fault), broke)]
        outcomes = await asyncio.gather(*map(breaker.commit, round_.faults), return_exceptions=True)
        tried: list[Fault] = []
        for fault, outcome in zip(round_.faults, outcomes, strict=True):
            if isinstance(outcome, Unbroken):
                self.report.untried.append(f"{fault} after {broke - begun:.0f} s: {outcome}")
                self._look(f"not tried: {fault}: {outcome}")
                continue
            tried.append(fault)
            if isinstance(outcome, BaseException) and not isinstance(outcome, StackError):
                raise outcome
            if isinstance(outcome, BaseException):
                self._find(f"{fault}: {str(outcome).splitlines()[0]}")
        since = max((outcome for outcome in outcomes if isinstance(outcome, float)), default=broke)
        await self._revive(breaker)
        if tried:
            broken = await self._recovery(tuple(tried), parts, begun, broke, since, watch)
            self.report.broken.append(broken)
            if len(round_.faults) == 1:  # what was tried in vain beside it may have held it up
                self._judge(broken)

    async def _recovery(
        self, faults: tuple[Fault, ...], parts: list[Part], begun: float, broke: float, since: float, watch: Watch
    ) -> Broken:
        moved = await watch.recovered(parts, since, RECOVERED_WITHIN_S)
        still = sorted(f"{service}/{number}" for service, number in set(parts) - set(moved))
        last = max(moved.values(), default=since)
        recovered_s = None if still else last - since
        broken = Broken(broke - begun, faults, recovered_s, watch.longest_pause_s(parts, broke, last))
        names = " and ".join(map(str, faults))
        if still:
            self._find(f"{names}: {', '.join(still)} did not move again within {RECOVERED_WITHIN_S:.0f} s")
        recovered = "not recovered" if recovered_s is None else f"recovered after {recovered_s:.2f} s"
        self._look(f"{broken.at_s:6.0f} s  {names}: {recovered}, longest pause {broken.pause_s:.2f} s")
        return broken

    def _judge(self, broken: Broken) -> None:
        """Whether recovery from a fault that came alone took longer than it may."""
        fault, recovered_s = broken.faults[0], broken.recovered_s
        limit_s = LIMITS_S.get(fault.kind)
        if limit_s is not None and recovered_s is not None and recovered_s > limit_s:
            self.report.too_slow.append(f"{fault}: orders moved again after {recovered_s:.1f} s, not {limit_s:.0f} s")

    async def _revive(self, breaker: Breaker) -> None:
        """What ended though nobody ended it is found, and started again."""
        for child in breaker.dead():
            self._find(f"{child.name} had ended, and nobody had asked it to")
            child.spawn()

    async def _drain(self, watch: Watch) -> None:
        self._look("no more orders; waiting until all have ended")
        begun = watch.last_news = time()

        async def drained() -> bool:
            self._look("")
            return not watch.tally.open or time() - watch.last_news > PATIENCE_S

        while not await until(drained, PATIENCE_S):
            continue
        self.report.drained_s = time() - begun
        self.report.orders = watch.tally.states
        for order_id in watch.tally.open[:20]:
            self._find(f"order {order_id} came to no end: {watch.tally.state[order_id]}")

    async def _audit(self, system: System) -> None:
        self._look("auditing all topics and databases")
        policy = self._settings.policy
        verdict = await auditing.audit(system.addresses.kafka, system.addresses.mongo, policy, UNHEARD)
        self.report.audit = {
            "records": verdict.records,
            "orders": verdict.orders.total(),
            "links": verdict.links,
            "published_again": verdict.repeated,
            "waiting": len(verdict.waiting),
        }
        for found in verdict.findings:
            self._find(f"audit: {found.check}: {found.place} ({found.about}): {found.what}")
        for waiting in verdict.waiting:
            self._find(f"audit: still waiting: {waiting.about} ({waiting.state}): {waiting.why}")

    def _keep_logs(self, system: System) -> None:
        if self._wanted.logs is not None:
            engines = {child.log for child in system.stack.children} if system.stack else set()
            for log in {*engines, *system.directory.glob("logs/*.log")}:
                shutil.copy(log, self._wanted.logs / "-".join(log.relative_to(system.directory).parts))

    def _find(self, what: str) -> None:
        self.report.findings.append(what)
        self._look(f"FOUND: {what}")


def _concerned(fault: Fault) -> Collection[str]:
    return (fault.service,) if fault.kind in OF_A_SERVICE else SERVICES
