"""Exponential backoff with full jitter: a server that restarts isn't met by all at once."""

from __future__ import annotations

from random import uniform

from databinding.client.options import Delays


class Backoff:
    """Says how long to wait before another try."""

    def __init__(self, delays: Delays) -> None:
        self._delays = delays
        self._tries = 0

    def next(self) -> float:
        """How long to wait now, in seconds."""
        delays = self._delays
        # The exponent is bounded, so that a week without a server doesn't end in an overflow.
        ceiling = min(delays.cap, delays.base * 2 ** min(self._tries, 30))
        self._tries += 1
        return uniform(delays.floor, max(delays.floor, ceiling))

    def reset(self) -> None:
        """The next delay is a first one again."""
        self._tries = 0
