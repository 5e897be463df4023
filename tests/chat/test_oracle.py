"""Random programs of writes and interruptions against servers of the chat: nothing is violated."""

import pytest

from chat.bindings import MessageBinding, PresenceBinding
from databinding.testing import Fault, Oracle, Stream, Visitor, rows_of
from tests.chat import writes

pytestmark = pytest.mark.django_db(transaction=True)

#: Seconds in which programs are begun.
BUDGET = 5
#: Rows in the windows: few, so that messages push each other out.
LIMIT = 7


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
def test_every_page_shows_its_room(kind, start_server):
    """Whoever writes, moves and leaves, and whatever server is killed: all clients end equal."""
    one, other = start_server(kind), start_server(kind)
    oracle = Oracle(
        [one.websocket_url, other.websocket_url],
        visitors=[
            Visitor(f"/chat/{writes.LABELS[room]}/", frozenset({f"room-{room}"})) for room in (1, 2)
        ],
        streams=[
            Stream(
                "chat",
                rows_of(MessageBinding, limit=LIMIT),
                [writes.only_what_is_theirs],
                {"limit": LIMIT},
            ),
            Stream("presence", rows_of(PresenceBinding), [writes.only_what_is_theirs]),
        ],
        writes=writes.WRITES,
        setup=writes.reset,
        faults=[Fault("server killed", one.kill, one.start, seconds=1)],
        writers=3,
    )
    report = oracle.run(seconds=BUDGET)
    print(report)
    report.check()
    assert report.writes > 0
    assert report.events > 0
    assert report.snapshots > 0
