"""What has happened, in plain numbers: what operators are told of it is made elsewhere
(`databinding.metrics`), when they ask.

Each tally is written by one thread alone, without a lock, and read by any.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Final

#: What is counted in `HubTally.limits`: frames that were too fast, connections closed for it,
#: connections turned away because their user or address has too many.
LIMITS: Final = ("frames", "closed", "user", "address")


class Durations:
    """How long something took, by size: `counts[i]` times at most `BOUNDS[i]` seconds, and above
    the one before; the last is of what took longer than all bounds."""

    BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

    def __init__(self) -> None:
        self.counts = [0] * (len(self.BOUNDS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(self.BOUNDS, seconds)] += 1
        self.seconds += seconds


class RelayTally:
    """Of one relay, since its process began."""

    def __init__(self) -> None:
        #: Passes that ended well, and those that failed as a whole.
        self.passes = 0
        self.failures = 0
        #: Keys that were read from the journal.
        self.keys = 0
        #: Bindings whose rows were all read anew, instead of by key.
        self.refreshes = 0
        #: How long those took that a binding's `refresh_every` asked for, and the rows in which
        #: they found changes that no key had told of.
        self.scheduled = Durations()
        self.healed = 0
        #: Rows that couldn't be read and will be tried again.
        self.owed = 0
        #: Since when (monotonic) there are news that aren't delivered, or the database couldn't be
        #: asked for any; None: all is well.
        self.behind_since: float | None = None
        #: Since when (monotonic) the database has been working on a question; None: it isn't asked.
        self.asking_since: float | None = None
        #: When the last pass ended well (seconds since 1970); 0: none did.
        self.last_pass = 0.0
        #: From noticing news to handing them to the event loops.
        self.delays = Durations()
        self.durations = Durations()


class HubTally:
    """Of the connections of one event loop, since their process began."""

    def __init__(self) -> None:
        #: Websockets and event streams that were opened.
        self.connections = 0
        #: Frames handed to the server to be sent.
        self.frames = 0
        #: In those frames: creates, updates, deletes. Rows of snapshots aren't counted.
        self.events = 0
        #: Cursors that were honoured, and those that were not.
        self.resumed = 0
        self.refused = 0
        #: Snapshots that were begun.
        self.snapshots = 0
        #: By name of a limit, how often it was overstepped.
        self.limits: Counter[str] = Counter()
        #: From a relay's news to their frames being handed to the server, for all who may be sent.
        self.deliveries = Durations()
