"""The tutorial's upper rungs as they stand: its commands, and its words for the console."""

import asyncio

import pytest

from tests.examples.programs import run_meanwhile
from tests.ladder import rung
from tests.servers import PATIENCE, Server, environment


class Console:
    """A page's console: what is said to it, and what it shows."""

    def __init__(self, page):
        self.page = page
        self._shown = asyncio.Queue()
        page.on("console", lambda line: line.type == "log" and self._shown.put_nowait(line.text))

    async def say(self, script):
        """As typed into it: `await` works, and constants stay for what is said next."""
        session = await self.page.context.new_cdp_session(self.page)
        said = await session.send(
            "Runtime.evaluate", {"expression": script, "replMode": True, "awaitPromise": True}
        )
        assert "exceptionDetails" not in said, said

    async def shows(self, text):
        """Wait until it has shown these lines; nothing else may come before or between."""
        async with asyncio.timeout(PATIENCE):
            for line in text.splitlines():
                assert await self._shown.get() == line

    def is_silent(self):
        return self._shown.empty()


@pytest.mark.parametrize("kind", ["runserver", "uvicorn", "daphne"])
async def test_in_a_browser(open_page, tmp_path, kind):
    """From the third rung to the top, the console shows on each server what the tutorial shows."""
    asgi, consumer, binding = rung(3), rung(4), rung(5)
    database = str(tmp_path / "db.sqlite3")
    migrate, serve = asgi.commands
    assert serve == ["manage.py", "runserver"]  # which is `kind`, on a port of its own
    await manage(database, migrate)
    server = Server(kind, database)
    try:
        server.start()
        console = Console(await open_page(server.url))

        for step in (asgi, consumer):
            (script,), (shown,) = step.scripts, step.shown
            await console.say(script)
            await console.shows(shown)

        classic, subscribed = binding.scripts
        frames, rows, later_rows = binding.shown
        create, update, update_again = binding.commands
        await console.say(classic)
        await console.page.wait_for_function("() => stream.readyState === WebSocket.OPEN")
        for command, frame in zip((create, update), frames.splitlines(), strict=True):
            await manage(database, command)
            await console.shows(frame)
        await console.page.evaluate("stream.close()")

        await console.say(subscribed)
        await console.shows(rows)
        server.kill()
        await manage(database, update_again)
        await asyncio.to_thread(server.start)
        await console.shows(later_rows)
        assert console.is_silent()
        assert "Traceback" not in server.log()
    finally:
        server.close()


async def manage(database, command):
    status, _, errors = await run_meanwhile(*command, **environment(database))
    assert status == 0, errors
