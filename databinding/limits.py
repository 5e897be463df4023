"""How much is too much, in plain numbers: pure, and told the time.

bucket = TokenBucket(rate=100, burst=300, now=0.0)
bucket.take(1, now=0.0)     # True: fair
bucket.wait()               # seconds until one more is
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from threading import Lock
from typing import Final

#: Characters of a frame that cost as much as a frame: reading a large one is more work.
UNIT: Final = 4096


def cost(length: int) -> int:
    """What a frame of so many characters costs, in frames."""
    return 1 + length // UNIT


class TokenBucket:
    """Fills by `rate` a second, holds `burst` at most, and is emptied by what is taken.

    What is refused is taken all the same, so whoever goes on sinks ever deeper; who pauses is
    served again after `wait`. Times are of any clock that doesn't go back, in seconds.
    """

    __slots__ = ("_then", "burst", "level", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self.level = burst
        self._then = now

    def take(self, amount: float, now: float) -> bool:
        """Is there so much? More than `burst` never is, so the whole of it is enough then."""
        self.level = min(self.burst, self.level + (now - self._then) * self.rate)
        self._then = now
        fair = self.level >= min(amount, self.burst)
        self.level -= amount
        return fair

    def give_back(self, amount: float) -> None:
        """It shouldn't have cost anything."""
        self.level = min(self.burst, self.level + amount)

    @property
    def exhausted(self) -> bool:
        """Was as much refused as the bucket holds, without a pause?"""
        return self.level < -self.burst

    def wait(self) -> float:
        """Seconds from the last `take` until one more may be taken."""
        return max(0.0, 1 - self.level) / self.rate


class Tenancy:
    """Who holds how many of something of which each may hold only so many. For any thread."""

    def __init__(self) -> None:
        self._held: Counter[Hashable] = Counter()
        self._lock = Lock()

    def take(self, who: Hashable, most: int) -> bool:
        """One more for this one, unless that were more than `most`."""
        with self._lock:
            if self._held[who] >= most:
                return False
            self._held[who] += 1
            return True

    def give_back(self, who: Hashable) -> None:
        with self._lock:
            self._held[who] -= 1
            if self._held[who] <= 0:
                del self._held[who]

    def __len__(self) -> int:
        """How many hold any."""
        return len(self._held)
