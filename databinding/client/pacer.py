"""When to acknowledge a stream's frames: flow control (see "window" in the protocol)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Pacer:
    """Counts the frames of one stream that were dealt with.

    Whoever is slow acknowledges seldom, and is therefore sent fewer frames with the latest states.
    """

    def __init__(self, window: int, delay: float, acknowledge: Callable[[int], None]) -> None:
        self._half = max(1, window // 2)
        self._delay = delay
        self._acknowledge = acknowledge
        self._applied = 0
        self._seen = 0
        self._timer: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None

    def applied(self, patience: float | None) -> None:
        """A frame that counts was applied; it is taken for seen after `patience` seconds.

        None: only once it is.
        """
        self._applied += 1
        if patience is not None and self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(patience, self.seen)

    def seen(self) -> None:
        """What was applied so far was dealt with."""
        self._seen += self._applied
        self._applied = 0
        self._stop_patience()
        if self._seen >= self._half:
            self._send()
        elif self._seen > 0 and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._delay, self._send)

    def reset(self) -> None:
        """The connection ended: its frames are not to be acknowledged on another one."""
        self._applied = self._seen = 0
        self._stop_timer()
        self._stop_patience()

    def _send(self) -> None:
        self._stop_timer()
        frames, self._seen = self._seen, 0
        self._acknowledge(frames)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
