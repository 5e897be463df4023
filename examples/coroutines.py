"""Coroutines: several things under way at once, in one thread.

    python examples/coroutines.py

A coroutine runs until it awaits something that isn't there yet; meanwhile others run.
"""

import asyncio
import time

START = time.monotonic()


def say(event):
    print(f"{time.monotonic() - START:.1f} s  {event}")


async def prepare(what, seconds):
    say(f"{what}: begun")
    await asyncio.sleep(seconds)
    say(f"{what}: done")


async def one_after_the_other():
    await prepare("coffee", 0.6)
    await prepare("toast", 0.3)


async def together():
    async with asyncio.TaskGroup() as tasks:  # ends when all of its tasks have ended
        tasks.create_task(prepare("coffee", 0.6))
        tasks.create_task(prepare("toast", 0.3))


async def bake(queue):
    for number in (1, 2, 3, 4):
        await queue.put(number)  # waits while the queue is full
        say(f"pancake {number}: on the plate")
    await queue.put(None)


async def eat(queue):
    while (number := await queue.get()) is not None:  # waits while it is empty
        await asyncio.sleep(0.3)
        say(f"pancake {number}: eaten")


async def a_queue_between():
    plate = asyncio.Queue(maxsize=2)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bake(plate))
        tasks.create_task(eat(plate))


async def main():
    for part in (one_after_the_other, together, a_queue_between):
        say(f"- {part.__name__.replace('_', ' ')}")
        await part()


if __name__ == "__main__":
    asyncio.run(main())
