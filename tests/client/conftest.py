import asyncio

import pytest

from tests.client.peer import PATIENCE


@pytest.fixture(autouse=True)
async def nothing_waits_for_ever():
    """What waits for something that never comes is cancelled, so that its test fails."""
    loop = asyncio.get_running_loop()

    def give_up():
        for task in asyncio.all_tasks(loop):
            task.cancel()

    timer = loop.call_later(4 * PATIENCE, give_up)
    yield
    timer.cancel()
