"""JSON lines to stdout from a coroutine, without ever holding up its loop."""

from __future__ import annotations

import asyncio
import json
import os
import select
import stat
import sys
from collections.abc import Iterable
from typing import Any

#: What a pipe with any room at all has room for; what POSIX guarantees, where it isn't said.
PIPE_BUF = getattr(select, "PIPE_BUF", 512)
#: What an event loop says of a file, and on Windows of anything: it can't tell of room.
CANNOT_TELL = (PermissionError, NotImplementedError)


class Stdout:
    """Whoever reads may be slow, stop, or go."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._descriptor = sys.stdout.fileno()
        self._may_fill = True

    async def print(self, values: Iterable[Any]) -> None:
        """One line for each value. Raises `BrokenPipeError` if nobody reads any more."""
        text = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)
        rest = memoryview(text.encode())
        # Past sys.stdout's buffer, in which something may be left when a pipe breaks.
        while rest:
            await self._room()
            rest = rest[os.write(self._descriptor, rest[:PIPE_BUF]) :]

    def end_with_reader(self, task: asyncio.Task[Any]) -> None:
        """Cancel the task if a pipe's reader goes, even while there is nothing to write."""
        if not stat.S_ISFIFO(os.fstat(self._descriptor).st_mode):
            return

        def gone() -> None:
            self._loop.remove_reader(self._descriptor)
            task.cancel()

        try:
            # An end that is only written to is never readable, but errors are told of it.
            self._loop.add_reader(self._descriptor, gone)
        except CANNOT_TELL:
            pass

    async def _room(self) -> None:
        if not self._may_fill:
            return
        room = asyncio.Event()
        try:
            self._loop.add_writer(self._descriptor, room.set)
        except CANNOT_TELL:
            self._may_fill = False
            return
        try:
            await room.wait()
        finally:
            self._loop.remove_writer(self._descriptor)
