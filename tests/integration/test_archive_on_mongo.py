"""What an audit reads of a service's database: every document as the journal leaves it, checkpointed or not."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from uuid import uuid4

import pytest
from chassis.decision import Decision, Document
from chassis.entry import Change, Entry, Progress, Recovered
from chassis.kinds import UnreadableDocument
from chassis.mongo.archive import Archive
from chassis.mongo.belonging import Foreign
from chassis.mongo.client import connect
from chassis.mongo.store import MongoStore
from chassis.ports import Unavailable
from chassis.service import Service
from oms.fleet import Addresses

pytestmark = pytest.mark.integration


class Jar(Document):
    kind = "jar"
    cookies: int


JARS = Service("jars", ("order.intake",), (Jar,), needs=lambda *_: (), decide=lambda *_: Decision())


@dataclass(frozen=True)
class Kitchen:
    store: MongoStore
    archive: Archive
    owner: Recovered

    async def journal(self, number: int, *jars: Jar) -> None:
        entry = Entry(2, number, f"w/{self.owner.checkpoint.epoch}", Progress(), changes_of(number, *jars), ())
        await self.store.append(entry)

    async def checkpoint(self, number: int, *jars: Jar) -> None:
        await self.store.checkpoint(replace(self.owner.checkpoint, number=number), changes_of(number, *jars))

    async def cookies(self) -> dict[str, int]:
        found = await self.archive.latest(["jar/a", "jar/b", "jar/c"])
        return {jar.id: jar.cookies for jar in found.values() if isinstance(jar, Jar)}


def changes_of(number: int, *jars: Jar) -> tuple[Change, ...]:
    return tuple(
        Change(jar.key, jar.model_dump_json(warnings=False).encode(), None, None, None, number) for jar in jars
    )


@pytest.fixture
async def kitchen(stack: Addresses) -> AsyncIterator[Kitchen]:
    name = f"jars_{uuid4().hex[:8]}"
    client = connect(stack.mongo)
    store = MongoStore(client, name, JARS)
    async with Archive(stack.mongo, name, (Jar,)) as archive:
        await store.prepare(3)
        yield Kitchen(store, archive, await store.recover(2, "w"))
    await client.drop_database(name)
    client.close()


async def test_finds_what_is_only_in_the_journal_yet(kitchen: Kitchen) -> None:
    await kitchen.journal(1, Jar(id="a", cookies=1), Jar(id="b", cookies=1))
    await kitchen.journal(2, Jar(id="b", cookies=2))

    assert await kitchen.cookies() == {"a": 1, "b": 2}


async def test_takes_the_journal_for_newer_than_the_documents(kitchen: Kitchen) -> None:
    await kitchen.journal(1, Jar(id="a", cookies=1), Jar(id="b", cookies=1))
    await kitchen.checkpoint(1, Jar(id="a", cookies=1), Jar(id="b", cookies=1))
    await kitchen.journal(2, Jar(id="b", cookies=2))

    assert await kitchen.cookies() == {"a": 1, "b": 2}


async def test_takes_no_old_entry_of_the_journal_for_news(kitchen: Kitchen) -> None:
    await kitchen.journal(1, Jar(id="a", cookies=1))
    await kitchen.journal(2, Jar(id="a", cookies=2))
    await kitchen.checkpoint(2, Jar(id="a", cookies=2))

    assert await kitchen.cookies() == {"a": 2}


async def test_lists_the_ids_of_a_kind(kitchen: Kitchen) -> None:
    await kitchen.journal(1, Jar(id="a", cookies=1), Jar(id="b", cookies=1))
    await kitchen.checkpoint(1, Jar(id="a", cookies=1), Jar(id="b", cookies=1))

    assert {id_ async for id_ in kitchen.archive.ids(Jar)} == {"a", "b"}


async def test_says_which_document_cannot_be_read_and_reads_the_others(kitchen: Kitchen) -> None:
    """Whether it is in the journal or in the documents; and it does not repeat what is in there."""
    await kitchen.journal(1, Jar(id="a", cookies=1), Jar.model_construct(id="b", cookies="secret"))
    await kitchen.checkpoint(1, Jar(id="a", cookies=1), Jar.model_construct(id="b", cookies="secret"))
    await kitchen.journal(2, Jar.model_construct(id="c", cookies="secret"))

    found = await kitchen.archive.latest(["jar/a", "jar/b", "jar/c"])

    assert found["jar/a"] == Jar(id="a", cookies=1)
    for key in ("jar/b", "jar/c"):
        why = found[key]
        assert isinstance(why, UnreadableDocument)
        assert str(why).startswith(f"{key}: cookies: ")
        assert "secret" not in str(why)


async def test_reads_nothing_of_a_database_of_another_format(stack: Addresses, kitchen: Kitchen) -> None:
    await kitchen.archive.check_format()
    client = connect(stack.mongo)
    await client[kitchen.archive.name]["checkpoints"].update_many({}, {"$unset": {"format": ""}})
    with pytest.raises(Foreign, match=f"{kitchen.archive.name} has format 1, and this version reads"):
        await kitchen.archive.check_format()
    client.close()


async def test_says_so_when_nobody_answers() -> None:
    url = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50"
    async with Archive(url, "jars", (Jar,)) as archive:
        with pytest.raises(Unavailable, match="MongoDB"):
            await archive.latest(["jar/a"])
        with pytest.raises(Unavailable, match="MongoDB"):
            await archive.check_format()
