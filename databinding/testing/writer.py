"""A writer's process, as the oracle has it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from typing import Any

#: Seconds that a write may take, with everything that it waits for.
PATIENCE = 120.0


class Killed(Exception):
    """The process was killed while it was at it."""


class Writer:
    """Carries out writes one after the other; started when it is needed, also after `kill`."""

    #: What starts its process.
    spawn = staticmethod(asyncio.create_subprocess_exec)

    def __init__(
        self, number: int, names: Mapping[str, str], environment: Mapping[str, str]
    ) -> None:
        self.number = number
        #: Writes asked for, over all of its lives.
        self.asked = 0
        #: Writes that wait for their turn, and the one at work.
        self.waiting = 0
        self._names = json.dumps(dict(names))
        self._environment = {**os.environ, **environment}
        self._process: Process | None = None
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Return when the process is ready. Raises `Killed`."""
        self._process = process = await self.spawn(
            *(sys.executable, "-m", "databinding.testing.worker", self._names),
            stdin=PIPE,
            stdout=PIPE,
            stderr=None,
            env=self._environment,
        )
        if await self._line(process) != b"ready\n":
            raise RuntimeError(f"Writer {self.number} did not start (see above).")

    async def write(self, write: str, seed: int, stamp: str | None = None) -> dict[str, Any]:
        """What `databinding.testing.worker` answers. Raises `Killed`."""
        self.waiting += 1
        try:
            async with self._turn:
                if self._process is None:
                    await self.start()
                process = self._process
                if process is None or process.stdin is None:
                    raise Killed
                self.asked += 1
                order = {"write": write, "seed": seed, "stamp": stamp}
                order |= {"writer": self.number, "number": self.asked}
                process.stdin.write(json.dumps(order).encode() + b"\n")
                line = await self._line(process)
                if not line:
                    raise RuntimeError(f"Writer {self.number} died of {write} (see above).")
                answer: dict[str, Any] = json.loads(line)
                return answer
        finally:
            self.waiting -= 1

    async def kill(self) -> None:
        """As `kill -9`, whatever it is doing."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):  # It may have died by itself.
                process.kill()
            await process.wait()

    async def _line(self, process: Process) -> bytes:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await process.stdout.readline()
        if not line and process is not self._process:
            raise Killed
        return line
