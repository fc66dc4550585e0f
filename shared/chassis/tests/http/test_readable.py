import asyncio

from chassis.http.readable import once_readable


async def test_what_is_written_meanwhile_is_found_soon() -> None:
    written: list[str] = []

    async def look() -> str | None:
        return written[0] if written else None

    loop = asyncio.get_running_loop()
    begun = loop.time()
    loop.call_later(1, written.append, "it")
    assert await once_readable(look, wait_s=30) == "it"
    assert 1 <= loop.time() - begun < 2


async def test_what_is_not_written_by_then_is_not_waited_for_any_longer() -> None:
    async def look() -> str | None:
        return None

    loop = asyncio.get_running_loop()
    begun = loop.time()
    assert await once_readable(look, wait_s=5) is None
    assert 5 <= loop.time() - begun < 6
