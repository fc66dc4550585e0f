"""`oms dead-letter`: records that could not be handled."""

from collections.abc import Sequence
from typing import Annotated, Literal

import typer
from contracts.topics import BY_NAME, TOPICS
from rich.markup import escape

from oms.commands import SHOWN, Json, print_json
from oms.commands.repairs import WAIT_S, By, Service, Urls, Wait, Why, carry_out, chosen, desk_of, moment, show_list
from oms.desk import Declined, Desk, Request, Shown

app = typer.Typer(help="Records that could not be handled: look at them, retry them, drop them.", no_args_is_help=True)


def _that_is_read(topic: str | None) -> str | None:
    """A mistyped one would have no dead letters, which sounds as if all were well."""
    read = [known.name for known in TOPICS if known.readers]
    if topic is not None and topic not in read:
        raise typer.BadParameter(f"{topic!r} is none of {', '.join(read)}", param_hint="--topic")
    return topic


OnTopic = Annotated[str | None, typer.Option("--topic", help="Only those of this topic.", callback=_that_is_read)]
Places = Annotated[
    list[str] | None, typer.Argument(metavar="PLACE", help="Where the records are: TOPIC/PARTITION/OFFSET.")
]
All = Annotated[bool, typer.Option("--all", help="All that wait, of one topic with --topic, of one service.")]


@app.command(name="list")
def list_(*, topic: OnTopic = None, service: Service = None, urls: Urls = None, as_json: Json = False) -> None:
    """List the records that nobody has retried with success or dropped: since when, and why."""
    with desk_of(urls, service) as desk:
        letters = _waiting(desk, topic, service)
        if as_json:
            print_json({"dead_letters": letters})
        else:
            _show_list(letters)


def _show_list(letters: Sequence[Shown]) -> None:
    rows = [
        [
            letter["id"],
            letter["service"],
            moment(letter["since"]),
            str(letter["times"]),
            letter["about"],
            "; ".join(f"{reason['path']}: {reason['message']}".lstrip(": ") for reason in letter["reasons"]),
        ]
        for letter in letters
    ]
    columns = ("place", "service", "since (UTC)", "times", "about", "why")
    show_list(f"{len(rows):,} dead letters", columns, rows, "no dead letter waits")


@app.command()
def show(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="Where the record is: TOPIC/PARTITION/OFFSET.")],
    *,
    service: Service = None,
    urls: Urls = None,
    as_json: Json = False,
) -> None:
    """Show a record with what it says, unless that is card data."""
    with desk_of(urls, service) as desk:
        found = _find(desk, place, service)
        if as_json:
            print_json({"dead_letters": found})
        else:
            _show(found)


def _show(found: Sequence[Shown]) -> None:
    for letter in found:
        SHOWN.print(f"[bold]{escape(letter['id'])}[/], since {moment(letter['since'])}, in {letter['service']}")
        for reason in letter["reasons"]:
            where = f"{reason['path']}: " if reason["path"] else ""
            SHOWN.print(f"  because {escape(where + reason['message'])} ({reason['code']})", highlight=False)
        content = letter["content"]
        if content is None:
            SHOWN.print("  it is not shown: it holds card data, nobody can read it, or its topic no longer has it")
            continue
        for name, value in (("key", content["key"]), *content["headers"], ("value", content["value"])):
            SHOWN.print(f"  {escape(name)}: {escape(str(value))}", highlight=False, soft_wrap=True)
        if content["encoding"] != "utf-8":
            SHOWN.print(f"  (the bytes are not text: all of them are in {content['encoding']})")


@app.command()
def retry(
    places: Places = None,
    *,
    everything: All = False,
    topic: OnTopic = None,
    service: Service = None,
    by: By = None,
    reason: Why = None,
    wait: Wait = WAIT_S,
    urls: Urls = None,
    as_json: Json = False,
) -> None:
    """Have records taken once more, as the same messages: after a new version that can read them, for example.

    Ends with status 1 if one was refused, with 2 if one could not be asked for.
    """
    with desk_of(urls, service) as desk:
        requests = _requests(desk, "retry", places, everything=everything, topic=topic, service=service)
        carry_out(desk, requests, by, reason, wait, as_json=as_json)


@app.command()
def drop(
    places: Places = None,
    *,
    everything: All = False,
    topic: OnTopic = None,
    service: Service = None,
    by: By = None,
    reason: Why = None,
    wait: Wait = WAIT_S,
    urls: Urls = None,
    as_json: Json = False,
) -> None:
    """Leave records as they are, for good. They stay on their topics, and on those of the dead letters.

    Ends with status 1 if one was refused, with 2 if one could not be asked for.
    """
    with desk_of(urls, service) as desk:
        requests = _requests(desk, "drop", places, everything=everything, topic=topic, service=service)
        carry_out(desk, requests, by, reason, wait, as_json=as_json)


def _requests(
    desk: Desk,
    action: Literal["retry", "drop"],
    places: Sequence[str] | None,
    *,
    everything: bool,
    topic: str | None,
    service: str | None,
) -> list[Request]:
    named = chosen(places, everything=everything, what="PLACE")
    letters = [letter for place in named for letter in _find(desk, place, service)] or _waiting(desk, topic, service)
    return [
        Request(letter["service"], f"/dead-letters/{letter['id']}/{action}", about=letter["id"]) for letter in letters
    ]


def _waiting(desk: Desk, topic: str | None, service: str | None) -> list[Shown]:
    """Those of a topic are with the services that read it; the others would refuse to be asked."""
    services = BY_NAME[topic].readers if topic is not None and service is None else None
    return desk.listed("/dead-letters", "dead_letters", services, topic=topic)


def _find(desk: Desk, place: str, service: str | None) -> list[Shown]:
    """The dead letter, in each service that it waits in. Raises Declined if it waits in none."""
    topic, *rest = place.split("/")
    if topic not in BY_NAME or len(rest) != 2 or not all(part.isdecimal() for part in rest):
        raise typer.BadParameter(f"{place!r} is not TOPIC/PARTITION/OFFSET of one of our topics", param_hint="PLACE")
    found = desk.find(f"/dead-letters/{place}", (service,) if service else BY_NAME[topic].readers)
    if not found:
        raise Declined(404, f"no dead letter {place} waits; what came about a second ago may not be seen yet")
    return found
