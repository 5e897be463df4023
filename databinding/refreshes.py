"""When rows with `refresh_every` are asked anew, though no key tells of a change.

One form at a time, so that they don't all share one pass; each begins at a random point of its
interval, so that neither bindings nor processes keep step; and however many there are and however
short their intervals, together they take no more than a tenth of their relay's time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from random import Random

from databinding.form import Form


class Refreshes:
    """Those of one relay, in its thread. Times are `time.monotonic`'s."""

    #: Of a relay's time, the part that refreshes may take.
    SHARE = 0.1
    #: Seconds until forms that have come or gone are noticed.
    LOOK = 0.1

    def __init__(self, chance: Random | None = None) -> None:
        self._chance = chance or Random()
        self._due: dict[Form, float] = {}
        self._first: Form | None = None
        self._looked = 0.0
        self._rested = 0.0

    def next(self, forms: Iterable[Form]) -> tuple[Form, float] | None:
        """The form whose turn is next, and in how many seconds that is; of these forms."""
        now = time.monotonic()
        if now - self._looked >= self.LOOK:
            self._looked = now
            self._look(forms, now)
        if self._first is None:
            return None
        return self._first, max(self._due[self._first], self._rested) - now

    def _look(self, forms: Iterable[Form], now: float) -> None:
        wanted = {
            form: every for form in forms if (every := form.binding.refresh_every) is not None
        }
        for form in self._due.keys() - wanted.keys():
            del self._due[form]
        for form, every in wanted.items():
            if form not in self._due:
                self._due[form] = now + every * self._chance.random()
        self._first = min(self._due, key=self._due.__getitem__, default=None)

    def done(self, form: Form, took: float) -> None:
        """It was read anew, for whatever reason, which took so many seconds."""
        every = form.binding.refresh_every
        if every is not None:
            now = time.monotonic()
            self._due[form] = now + every
            self._rested = now + took * (1 / self.SHARE - 1)
            self._looked = 0.0

    def put_off(self, form: Form) -> None:
        """Nobody is subscribed, or its rows can't be compared."""
        self._due.pop(form, None)
        self._first = None
        self._looked = 0.0
