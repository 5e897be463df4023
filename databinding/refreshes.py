"""When bindings with `refresh_every` are asked anew, though no key tells of a change.

One at a time, so that they don't all share one pass; each begins at a random point of its
interval, so that neither bindings nor processes keep step; and none takes more than a tenth of its
relay's time, however short its interval.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from random import Random

from databinding.form import Form


class Refreshes:
    """Those of one relay, in its thread. Times are `time.monotonic`'s."""

    #: Of a relay's time, the part that one binding may take.
    SHARE = 0.1

    def __init__(self, chance: Random | None = None) -> None:
        self._chance = chance or Random()
        self._due: dict[Form, float] = {}

    def next(self, forms: Iterable[Form]) -> tuple[Form, float] | None:
        """The form whose turn is next, and in how many seconds that is; of these forms."""
        now = time.monotonic()
        wanted = {
            one: one.binding.refresh_every for one in forms if one.binding.refresh_every is not None
        }
        for one in self._due.keys() - wanted.keys():
            del self._due[one]
        for one, every in wanted.items():
            if one not in self._due:
                self._due[one] = now + every * self._chance.random()
        first = min(self._due, key=self._due.__getitem__, default=None)
        return None if first is None else (first, self._due[first] - now)

    def done(self, form: Form, took: float) -> None:
        """It was read anew, for whatever reason, which took so many seconds."""
        every = form.binding.refresh_every
        if every is not None:
            pause = max(every, took / self.SHARE)
            self._due[form] = time.monotonic() + pause

    def put_off(self, form: Form) -> None:
        """Nobody is subscribed, or its rows can't be compared."""
        self._due.pop(form, None)
