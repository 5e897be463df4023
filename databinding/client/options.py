"""Everything tunable. Times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Delays:
    """Between tries: at least `floor`; up to `base` at first, twice that then, `cap` at most."""

    floor: float
    base: float
    cap: float


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a connection behaves; the defaults are those of the JavaScript client."""

    #: Frames of one stream that may be on their way or not yet taken.
    window: int = 8
    #: A frame that was taken is acknowledged at the latest after this.
    ack_delay: float = 0.25
    #: A change that a slow consumer doesn't take counts as taken after this: the server goes on,
    #: and what is not taken is merged.
    patience: float = 1.0
    #: For the handshake, with everything that is below it.
    open_timeout: float = 10.0
    #: For the server's agreement to our closing.
    close_timeout: float = 2.0
    #: A request made while not connected waits this long before it fails unsent.
    send_timeout: float = 5.0
    #: A request that was sent waits this long for its answer.
    reply_timeout: float = 30.0
    #: A connection this old resets the backoff.
    stable_after: float = 5.0
    #: Between tries to connect.
    backoff: Delays = Delays(floor=0.1, base=0.5, cap=20)
    #: The same after the server found us too fast (close code 4429).
    penalty: Delays = Delays(floor=15, base=30, cap=60)
    #: Before a subscription is tried again that the server couldn't serve just now.
    resubscribe: Delays = Delays(floor=0.5, base=2, cap=20)
    #: From one answer to the next ping, and how long anything at all may take to come after it.
    #: Their sum is how long a dead connection can go unnoticed.
    heartbeat_interval: float = 10.0
    heartbeat_timeout: float = 8.0
