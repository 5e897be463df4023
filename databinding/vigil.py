"""Rights that end act on open connections, too: who they are is looked up again and again.

There is one `Vigil` for each event loop (`databinding.hub`). Every RIGHTS_INTERVAL seconds it asks
for all of its connections at once whether their credentials are still good, and whether anything
that rights hang on has changed (`databinding.rights`); in a thread besides those of requests, which
may all wait for somebody's lock.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextvars import Context, copy_context
from functools import partial
from typing import Protocol

from channels.db import database_sync_to_async

from databinding.conf import settings
from databinding.form import Form
from databinding.identity import Scope
from databinding.parts import parts
from databinding.rights import Basis, Known, look
from databinding.routers import consistent_reads
from databinding.stray import STRAY, caught, is_cancelled

logger = logging.getLogger("databinding")


class Watched(Protocol):
    """An open connection; `databinding.session` and `databinding.sse` have some."""

    @property
    def scope(self) -> Scope: ...

    @property
    def basis(self) -> Basis: ...

    def forms(self) -> Iterable[Form]:
        """What it is shown."""

    def over(self) -> None:
        """The credentials are void."""

    def unsure(self) -> None:
        """What they stand for can't be told: it ends here, and whoever it is may come back."""

    async def renew(self, known: Known) -> None:
        """Rights have changed; what can't be done now is tried again."""


class Vigil:
    """Watches the connections of one event loop, as long as there are any."""

    #: Connections whose changed rights are acted on at once.
    AT_ONCE = 20
    #: Seconds for which a connection may stay of which it can't be told whose it is.
    GRACE = 30.0

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # With what a middleware has set for them, a tenant, say.
        self._watched: dict[Watched, Context] = {}
        # Whose can't be told, and until when they may stay.
        self._unsure: dict[Watched, float] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, watched: Watched) -> None:
        """From now on; whoever is nobody that is known has no rights to lose."""
        user = watched.scope.get("user")
        if user is None or not user.is_authenticated:
            return
        self._watched[watched] = copy_context()
        if self._task is None:
            # In nobody's context, since it asks for all of them.
            self._task = self._loop.create_task(self._run(), context=Context())

    def discard(self, watched: Watched) -> None:
        self._watched.pop(watched, None)
        self._unsure.pop(watched, None)

    async def _run(self) -> None:
        with consistent_reads():
            while self._watched:
                await asyncio.sleep(settings.RIGHTS_INTERVAL)
                try:
                    await self._look()
                except Exception:
                    # While the database is away nothing is delivered either.
                    logger.warning(
                        "Nobody's rights could be looked up; trying again.", exc_info=True
                    )
        self._task = None

    async def _look(self) -> None:
        watched = list(self._watched)
        scopes = [one.scope for one in watched]
        ask = database_sync_to_async(caught, thread_sensitive=False)
        found = await ask(partial(look, scopes, [list(one.forms()) for one in watched]))
        changed = []
        for one, scope, known in zip(watched, scopes, found, strict=True):
            if one.scope is not scope or one not in self._watched:
                continue  # Next time.
            if known is None:
                self._bear_with(one)
                continue
            self._unsure.pop(one, None)
            if not known.user.is_authenticated:
                self.discard(one)
                one.over()
            elif not one.basis.holds(known):
                changed.append((one, known))
        # Some at once, which share passes of the relay; more would hold up requests.
        for some in parts(changed, self.AT_ONCE):
            renewing = [
                self._loop.create_task(self._renew(one, known), context=context)
                for one, known in some
                if (context := self._watched.get(one)) is not None
            ]
            await asyncio.gather(*renewing)

    def _bear_with(self, one: Watched) -> None:
        """A backend that fails for a moment is nobody's end; one that goes on is."""
        now = self._loop.time()
        if now > self._unsure.setdefault(one, now + self.GRACE):
            self.discard(one)
            one.unsure()

    @staticmethod
    async def _renew(one: Watched, known: Known) -> None:
        try:
            with consistent_reads():
                await one.renew(known)
        except (Exception, *STRAY):
            if is_cancelled():
                raise
            one.basis.doubt()
            logger.warning("Changed rights wait to be acted on.", exc_info=True)
