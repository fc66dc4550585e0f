"""Carries an order through the saga's table. It knows steps, answers and undos, and none of them by name."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from contracts.message import Message, Reason, SagaStep, StepOutside

from order.commands import cancellations_refused, order_undone
from order.definition import Part, Policy, Refused, Stage, Step
from order.saga import definition_of
from order.state import ASKED, HELD, Ending, Happening, Order, Refusal, Status, Task, TaskState

NOTHING: Mapping[str, object] = {}
MOST_HAPPENINGS = 200
"""The most happenings in a timeline; a longer one loses its oldest, and the topics have them all."""


LONGEST_PAUSE = timedelta(hours=1)
"""After how long at the most what nobody answers is asked for again, unless the policy says that it takes longer."""


class Turn:
    """One input at work on one order. `order` stays the very same object for as long as nothing changes."""

    def __init__(self, order: Order, policy: Policy, now: datetime) -> None:
        self.order = order
        self.said: list[Message] = []
        """The messages in answer, in their order."""
        self.remark = ""
        """What is special about the input, for people."""
        self._policy = policy
        self._now = now
        self._definition = definition_of(order)

    # What comes in.

    def begin(self) -> None:
        """Start the saga."""
        self._enter(0)

    def hear(self, step: Step, part: Part, answer: SagaStep) -> None:
        """Take in what a participant says; what is repeated or foreign finds nothing that waits for it."""
        task = self._task_of(step, answer)
        if task is None:
            return
        match part, task.state:
            case "done", "pending" | "waiting":
                self._done(step, task, answer)
            case "waits", "pending":
                self._wait(step, task, answer)
            case "refused", "pending" | "waiting" | "undoing" | "done":
                self._refused(step, task, answer)
            case "undone", "undoing" if step.undo is not None and step.undo.confirmed(answer):
                self._undone(task)
            case "done" | "waits", "failed" | "undone":
                self._undo(step, task)
                self.remark = "too late: undone again"
            case "done", "undoing" | "done":
                self._done_after_all(step, answer)
            case "too late", _:
                self._too_late(step, task, answer)
            case ("noted", _) | ("undone", "done" | "undoing"):
                # It is undone without the saga's asking where a skip has called it off, which may be heard while the
                # saga waits for its own undo.
                self._note(answer)

    def turn_back(self, ending: Ending) -> None:
        """Undo whatever was done or may have been, in reverse order, and come to this end."""
        # No deadline counts any more: what was asked and not answered is undone like what was done.
        tasks = tuple(task.but(task.state) if task.state in ASKED else task for task in self.order.tasks)
        self.order = self.order.but(ending=ending, tasks=tasks)
        self._undo_next()

    def ring(self) -> None:
        """See to every task whose deadline has come."""
        for task in self.order.tasks:
            # Turning back for one task takes the deadlines of others away.
            if task not in self.order.tasks or task.deadline is None or task.deadline > self._now:
                continue
            step = self._definition.steps[task.step]
            if task.state == "undoing":
                self.ask_again(task)
                self.order = self.order.but(undo_tries=self.order.undo_tries + 1)
            elif step.undo is None:
                self.ask_again(task)
                self.order = self.order.but(forward_tries=self.order.forward_tries + 1)
            elif step.waits is not None and task.state == "waiting":
                self.turn_back(Ending(status="cancelled", reasons=(step.waits.expired,), by=step.name))
            elif others := self._others(step):
                # Whoever is asked again must not find itself short of what it holds for this very order.
                self._undo(step, task)
                self._ask(*others)
                self.remark = f"{task.location}: {_no_answer(step).message}, so others are asked"
            else:
                self.turn_back(Ending(status=self._stage.failed, reasons=(_no_answer(step),), by=step.name))

    # What a person may have done about what nobody answers.

    def hurry(self, task: Task) -> None:
        """Ask for what is not answered, or for its undo, once more, and have the outside world asked at once.

        What kept the answer away may be gone: it is asked for again as soon as if this were the first time.
        """
        before = len(self.said)
        self.ask_again(task, longest_pause=timedelta())
        self.said[before:] = [
            command.model_copy(update={"at_once": True}) if isinstance(command, StepOutside) else command
            for command in self.said[before:]
        ]

    def ask_again(self, task: Task, longest_pause: timedelta = LONGEST_PAUSE) -> None:
        """Ask for what is not answered, or for its undo, once more, just as the first time.

        What was told to wait has the deadline that was announced, and keeps it.
        """
        step = self._definition.steps[task.step]
        if task.state == "undoing":
            self._undo(step, task, longest_pause)
            return
        # A command may be made of those that were given before it, as each question to a location is.
        before = self.order.but(tasks=self.order.tasks[: self.order.tasks.index(task)])
        if task.state == "pending":
            within = step.do.within(self._policy)
            deadline = self._now + within if step.undo else self._again_at(task, "pending", within, longest_pause)
            self._put(task, "pending", deadline)
        for command in step.do.commands(before):
            if (command.attempt, _location_of(command)) == (task.attempt, task.location):
                self.said.append(command)

    def skip(self, *tasks: Task) -> None:
        """Take what is not answered as done, or as undone where that was asked."""
        for task in tasks:
            if task.state == "undoing":
                self._undone(task)
                continue
            self._put(task, "done")
            self.order = self.order.but(skipped=tuple(dict.fromkeys((*self.order.skipped, task.step))))
            if (skip := self._definition.steps[task.step].skip) is not None and skip.command is not None:
                self._call_off(skip.command, task)
            self._enter_next()

    # Going forward.

    def _enter(self, place: int) -> None:
        if place == len(self._definition.stages):
            self.order = self.order.but(status="completed")
            return
        self.order = self.order.but(stage=place)
        self._ask(*((step, command) for step in self._stage.steps for command in step.do.commands(self.order)))

    def _ask(self, *asked: tuple[Step, SagaStep]) -> None:
        """Give these commands, each for its step."""
        tasks = tuple(
            Task(
                step=step.name,
                revision=command.revision,
                attempt=command.attempt,
                location=_location_of(command),
                deadline=self._now + step.do.within(self._policy),
                asked_at=self._now,
            )
            for step, command in asked
        )
        self.order = self.order.but(tasks=(*self.order.tasks, *tasks))
        self.said.extend(command for _, command in asked)

    def _done(self, step: Step, task: Task, answer: SagaStep) -> None:
        if not step.done.fits(self.order, answer):
            self._note(answer)
            self.remark = "passed over: it does not answer what was asked"
            return
        self._put(task, "done")
        self.order = step.done.remember(self.order, answer)
        if self.order.ending is not None:
            return
        if step.refused is not None and step.done.partly(answer):
            self._otherwise(step, step.refused, answer)
        else:
            self._enter_next()

    def _enter_next(self) -> None:
        """Leave the stage, if all of it is done."""
        if not any(task.state in ASKED for task in self.order.tasks):
            self.said.extend(self._stage.then(self.order))
            self._enter(self.order.stage + 1)

    def _wait(self, step: Step, task: Task, answer: SagaStep) -> None:
        if step.waits is None or self.order.ending is not None:
            return
        deadline = self._now + step.waits.within(self._policy)
        self._put(task, "waiting", deadline)
        self.said.append(step.waits.event(self.order, answer, deadline))

    def _refused(self, step: Step, task: Task, answer: SagaStep) -> None:
        refused, is_late = step.refused, task.state in {"undoing", "done"} or self.order.ending is not None
        if refused is not None and (refused.counts_late or not is_late):
            after = refused.remember(self.order, answer)
            if after != self.order:
                self.order = after
        if task.state == "done":
            # What is done was not refused: this answers a later step, which has no refusal, such as the capture, or it
            # has crossed a skip.
            self._note(answer)
        elif task.state != "undoing":
            self._put(task, "failed")
        if refused is not None and not is_late:
            self._otherwise(step, refused, answer)

    def _otherwise(self, step: Step, refused: Refused, answer: SagaStep) -> None:
        """Ask somebody else, or give up."""
        if others := self._others(step):
            self._ask(*others)
        else:
            reasons = refused.why(self.order, answer)
            self.turn_back(Ending(status=self._stage.failed, reasons=reasons, by=step.name))

    def _others(self, step: Step) -> tuple[tuple[Step, SagaStep], ...]:
        """What is asked of who else may do the step; nothing if there is nobody."""
        commands = step.refused.otherwise(self.order) if step.refused is not None else ()
        return tuple((step, command) for command in commands)

    # Going back.

    def _undo_next(self) -> None:
        """Undo the last thing that is not undone yet, unless the undo of a later step is still to be answered."""
        order = self.order
        if order.ending is None or order.ended:
            return
        for step in reversed(self._definition.steps.values()):
            tasks = order.tasks_of(step.name)
            if held := [task for task in tasks if task.state in HELD]:
                self._undo(step, held[-1])
                return
            if any(task.state == "undoing" for task in tasks):
                return
        self.said.append(order_undone(order, order.ending))
        self.order = order.but(status=order.ending.status)

    def _undo(self, step: Step, task: Task, longest_pause: timedelta = LONGEST_PAUSE) -> None:
        if step.undo is None:
            return
        deadline = self._again_at(task, "undoing", self._policy.undo_again_after, longest_pause)
        self._put(task, "undoing", deadline)
        self._call_off(step.undo.command, task, step.undo.told(self.order, task))

    def _call_off(self, command: Callable[..., SagaStep], task: Task, told: Mapping[str, object] = NOTHING) -> None:
        where = {"location": task.location} if task.location else {}
        names = {"order_id": self.order.id, "revision": task.revision, "attempt": task.attempt, **where}
        self.said.append(command(**names, **told))

    def _undone(self, task: Task) -> None:
        if task.revision == self.order.revision:
            self._put(task, "undone")
        else:
            self.order = self.order.but(tasks=tuple(other for other in self.order.tasks if other is not task))
        self._undo_next()

    # Too late to go back.

    def _done_after_all(self, step: Step, answer: SagaStep) -> None:
        """It was done, whatever came before: where an undo may come too late, the order needs what the answer says."""
        if step.undo is None or not step.undo.too_late or not step.done.fits(self.order, answer):
            return
        if (after := step.done.remember(self.order, answer)) != self.order:
            self.order = after

    def _too_late(self, step: Step, task: Task, answer: SagaStep) -> None:
        """What was done can no longer be undone: only noted, unless it was being undone, or was taken as not done."""
        if task.state == "undoing":
            self._turn_forward(task, answer)
        elif task.state in {"failed", "undone"} and not self._is_noted(answer):
            self._undo(step, task)
            self.remark = "not undone after all: undone again"
        else:
            self._note(answer)

    def _turn_forward(self, task: Task, answer: SagaStep) -> None:
        """What cannot be undone any more is done, and so the order has to be carried to its end after all."""
        ending = self.order.ending
        if ending is None or self.order.ended or not self._is_all_held_but(task):
            self.remark = "too late to undo, and others are undone already: a person must decide"
            self._note(answer)
            return
        self._put(task, "done")
        self._note(answer)
        self.remark = f"too late to undo: goes on; refused is {ending.by}: {ending.reasons[0].message}"
        self.order = self.order.but(ending=None)
        for refused in cancellations_refused(self.order, ending):
            self.said.append(refused)
            was_compensation = ending.is_compensation_of(refused.requested_by)
            self.order = self.order.but(refused=Refusal.of(refused, self._now, was_compensation=was_compensation))
        self._enter_next()

    def _is_all_held_but(self, task: Task) -> bool:
        """Whether of all that the order has come through, this alone is undone.

        What was asked for last in a step is what it came to, and is the first of it to be undone.
        """
        stages = self._definition.stages[: self.order.stage + 1]
        last = [self.order.tasks_of(step.name)[-1:] for stage in stages for step in stage.steps]
        return all(others in {(task,), ()} or others[0].state == "done" for others in last) and (task,) in last

    # The order and its tasks.

    def closed(self, latest: Happening | None) -> Order:
        """The order after this turn, with what follows from its tasks and with the latest happening, if it is one."""
        order = self.order
        deadlines = [task.deadline for task in order.tasks if task.deadline is not None]
        return order.changed(
            self._now,
            status=self._status(),
            alarm=min(deadlines, default=None),
            unanswered_since_ms=self._unanswered_since_ms(),
            timeline=(*order.timeline[1 - MOST_HAPPENINGS :], latest) if latest else order.timeline,
        )

    def _unanswered_since_ms(self) -> int | None:
        since = [
            task.asked_at
            for task in self.order.unanswered()
            if task.asked_at and (task.state == "undoing" or self._definition.steps[task.step].undo is None)
        ]
        return int(min(since).timestamp() * 1000) if since else None

    def _status(self) -> Status:
        if self.order.ended:
            return self.order.status
        if self.order.ending is not None:
            return "undoing"
        return "backordered" if any(task.state == "waiting" for task in self.order.tasks) else self._stage.status

    @property
    def _stage(self) -> Stage:
        return self._definition.stages[self.order.stage]

    def _task_of(self, step: Step, answer: SagaStep) -> Task | None:
        """What the answer answers.

        Earlier revisions are forgotten but for this: they were rejected, so all that was asked for them was undone.
        """
        location = _location_of(answer)
        known = self.order.task(step.name, answer.revision, answer.attempt, location)
        if known is None and answer.revision < self.order.revision:
            return Task(
                step=step.name, revision=answer.revision, attempt=answer.attempt, location=location, state="undone"
            )
        return known

    def _put(self, task: Task, state: TaskState, deadline: datetime | None = None) -> None:
        """The task is in this state now."""
        tasks, now = self.order.tasks, task.but(state, deadline, self._asked_at(task, state))
        known = any(other is task for other in tasks)
        self.order = self.order.but(
            tasks=tuple(now if other is task else other for other in tasks) if known else (*tasks, now)
        )

    def _again_at(self, task: Task, state: TaskState, first: timedelta, longest: timedelta) -> datetime:
        """When what has to be done is asked for next: after twice as long each time.

        Each time changes the order, and what was changed takes room: many would leave none to others.
        """
        waited = self._now - (self._asked_at(task, state) or self._now)
        return self._now + max(first, min(waited, longest))

    def _asked_at(self, task: Task, state: TaskState) -> datetime | None:
        if state not in {"pending", "undoing"}:
            return None
        return (task.asked_at if state == task.state else None) or self._now

    def _note(self, answer: SagaStep) -> None:
        if answer.revision == self.order.revision and not self._is_noted(answer):
            self.order = self.order.but(noted=(*self.order.noted, type(answer).__name__))

    def _is_noted(self, answer: SagaStep) -> bool:
        return type(answer).__name__ in self.order.noted


def _location_of(message: SagaStep) -> str:
    location: str = vars(message).get("location", "")
    return location


def _no_answer(step: Step) -> Reason:
    return Reason(path="", code="no_answer", message=f"nobody answered the step {step.name!r} in time")
