"""The doorbell between processes and hosts, over a channel layer (Redis, with channels-redis).

One thread of the process, with an event loop of its own, does all of it, so that a writer neither
waits for Redis nor learns of its faults: it adds a name to a set. What is rung while a ring is
under way goes together in the next one.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from channels.layers import channel_layers
from django.conf import settings as django_settings

from databinding.conf import settings

logger = logging.getLogger("databinding")

T = TypeVar("T")

#: Everybody who listens is in this group of the layer.
GROUP: Final = "databinding.doorbell"

#: The layer that carries nothing out of its process.
IN_MEMORY: Final = "channels.layers.InMemoryChannelLayer"


def configured() -> bool:
    """Is there a channel layer that reaches other processes?"""
    layers = getattr(django_settings, "CHANNEL_LAYERS", None)
    if not layers:
        return False
    layer = layers.get(settings.DOORBELL)
    return layer is not None and layer.get("BACKEND") != IN_MEMORY


class Carrier:
    """Carries rings between this process and the channel layer. Get it by `carrier`.

    Its state, for operators: `up` (the layer took, or brought, the last that it was given),
    `rung`, `heard` and `failed` (how often, since the process began).
    """

    #: Seconds between two rings; what is rung meanwhile goes together.
    PAUSE = 0.01
    #: Seconds that the layer may take for anything.
    TIMEOUT = 1.0
    #: Seconds between two messages by which a listener finds out that it still hears.
    HEARTBEAT = 2.0
    #: Seconds between attempts while the layer is away.
    RETRY_FIRST, RETRY_MOST = 0.1, 2.0
    #: Seconds for which a process that ends may wait for its last ring to be taken.
    FLUSH = 1.0

    def __init__(self) -> None:
        self.up = False
        self.rung = 0
        self.heard = 0
        self.failed = 0
        self._name = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._waiting: set[str] = set()
        self._listener: Callable[[str | None], None] | None = None
        self._thread: threading.Thread | None = None
        self._session: _Session | None = None
        self._ending = threading.Event()

    # Called in any thread

    def ring(self, alias: str) -> None:
        """Have the doorbell of this database ring elsewhere."""
        with self._lock:
            if alias in self._waiting and self._thread is not None:
                return
            self._waiting.add(alias)
            self._work()

    def listen(self, listener: Callable[[str | None], None]) -> None:
        """Have `listener` called with the database's alias, or None for "any", when it rings."""
        with self._lock:
            if self._listener != listener:
                self._listener = listener
                if self._session is not None:
                    self._session.end()  # The next one listens.
                self._work()

    def stop(self) -> None:
        """Hand on what was rung, for a while, and end the thread."""
        with self._lock:
            thread = self._thread
            self._ending.set()
            if self._session is not None:
                self._session.wake()
        if thread is not None:
            thread.join(self.FLUSH)

    def _work(self) -> None:
        if self._thread is None and not self._ending.is_set():
            self._thread = threading.Thread(
                target=self._run, name="databinding-doorbell", daemon=True
            )
            try:
                self._thread.start()
            except RuntimeError:  # Shutting down; or there are too many, and the next ring tries.
                self._thread = None
        elif self._session is not None:
            self._session.wake()

    # The thread

    def _run(self) -> None:
        retry = 0.0
        while True:
            try:
                # A loop for each session: closing it is what closes the layer's connections.
                with asyncio.Runner(loop_factory=_Loop) as runner:
                    runner.run(_Session(self).run())
                retry = 0.0
            except Exception as error:
                self.failed += 1
                if self.up or not retry:
                    self._say(error)
                    retry = self.RETRY_FIRST
                else:
                    retry = min(self.RETRY_MOST, 2 * retry)
                self.up = False
            if self._ending.wait(retry):
                return

    def _say(self, error: Exception) -> None:
        logger.warning(
            "No doorbell over the channel layer %r (%s): other processes' commits are found "
            "by looking for them.",
            settings.DOORBELL,
            str(error) or f"no answer within {self.TIMEOUT:g} s",
        )

    def take(self) -> list[str]:
        """What is to be rung now."""
        with self._lock:
            waiting, self._waiting = self._waiting, set()
            return sorted(waiting)


class _Session:
    """The thread's work from one connection to the layer to its end."""

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier
        self._ended = False

    async def run(self) -> None:
        """Until told to end. Raises whatever the layer does, TimeoutError if that is nothing."""
        carrier = self.carrier
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._echo = asyncio.Event()
        # One of our own: a layer serves one event loop at a time, and has its limits for each.
        self._layer = channel_layers.make_backend(settings.DOORBELL)
        with carrier._lock:
            carrier._session = self
        try:
            await self._work()
        finally:
            # Before the loop is closed: nobody may wake it any more.
            with carrier._lock:
                carrier._session = None

    async def _work(self) -> None:
        carrier = self.carrier
        tasks = [asyncio.create_task(self._ring())]
        if carrier._listener is not None:
            channel = await _in_time(self._layer.new_channel())
            tasks.append(asyncio.create_task(self._hear(channel, carrier._listener)))
            tasks.append(asyncio.create_task(self._stay(channel, carrier._listener)))
        done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        if others:
            # A layer may want to say goodbye first; to a Redis that is away it could take long.
            await asyncio.wait(others, timeout=carrier.TIMEOUT)
        for result in await asyncio.gather(*done, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    # Called in any thread, under the carrier's lock

    def wake(self) -> None:
        self._loop.call_soon_threadsafe(self._woken.set)

    def end(self) -> None:
        self._ended = True
        self.wake()

    # The session's tasks

    async def _ring(self) -> None:
        carrier = self.carrier
        while True:
            aliases = carrier.take()
            if aliases:
                message = {"type": GROUP, "from": carrier._name, "aliases": aliases}
                await _in_time(self._layer.group_send(GROUP, message))
                carrier.rung += 1
                self._works()
            # What was rung while this ring was under way isn't left behind by a process that ends.
            if self._ended or (carrier._ending.is_set() and not carrier._waiting):
                return
            if aliases:
                await asyncio.sleep(carrier.PAUSE)
            await self._woken.wait()
            self._woken.clear()

    async def _hear(self, channel: str, listener: Callable[[str | None], None]) -> None:
        carrier = self.carrier
        while True:
            message = await self._layer.receive(channel)
            if message.get("from") == carrier._name:
                self._echo.set()
                continue
            aliases = message.get("aliases")
            for alias in aliases if isinstance(aliases, list) else ():
                if isinstance(alias, str):
                    carrier.heard += 1
                    listener(alias)

    async def _stay(self, channel: str, listener: Callable[[str | None], None]) -> None:
        """Be in the group, and find out when nothing is heard any more."""
        heartbeat = {"type": GROUP, "from": self.carrier._name, "aliases": []}
        first = True
        while True:
            # Again and again: memberships expire, and a Redis that was flushed has forgotten.
            await _in_time(self._layer.group_add(GROUP, channel))
            self._echo.clear()
            await _in_time(self._layer.send(channel, heartbeat))
            await _in_time(self._echo.wait())
            self._works()
            if first:
                listener(None)  # Whatever rang before we heard.
                first = False
            await asyncio.sleep(self.carrier.HEARTBEAT)

    def _works(self) -> None:
        if not self.carrier.up:
            self.carrier.up = True
            if self.carrier.failed:
                logger.info("The doorbell over channel layer %r is back.", settings.DOORBELL)


class _Loop(asyncio.SelectorEventLoop):
    """Looks addresses up in its own thread: a process that is ending has no others any more."""

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        return socket.getaddrinfo(host, port, **options)


async def _in_time(awaitable: Awaitable[T]) -> T:
    return await asyncio.wait_for(awaitable, Carrier.TIMEOUT)


_carrier = Carrier()


def carrier() -> Carrier:
    """This process's carrier."""
    return _carrier


def renew() -> None:
    """Begin anew: another process after a fork, or other settings in a test."""
    global _carrier
    _carrier = Carrier()


def _flush() -> None:
    _carrier.stop()


atexit.register(_flush)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=renew)
