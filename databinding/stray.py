"""Exceptions that end a task or a program, raised by code of the project where none is to end.

And one that ends an iteration: Python 3.11's futures refuse it, and whoever waits for one goes on.
"""

from __future__ import annotations

from asyncio import CancelledError, current_task
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: What ends a task, or a program: no way to end a thread, or a loop, that is there for everybody.
STRAY = (CancelledError, SystemExit)


class Stray(Exception):
    """Code of the project has raised what isn't meant for it, which is a fault like any other."""


def is_cancelled() -> bool:
    """Is it the running task that is cancelled, not something that it waited for?"""
    task = current_task()
    return task is not None and task.cancelling() > 0


def caught(work: Callable[[], T]) -> T:
    """Have what goes astray be an exception."""
    try:
        return work()
    except (*STRAY, StopIteration) as error:
        raise Stray(repr(error)) from error
