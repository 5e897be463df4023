"""Programs of writes and interruptions against every configuration: nothing is violated."""

from contextlib import nullcontext

import pytest

from databinding.testing import Fault
from tests.oracle.shapes import PERSONAL, USERS, shapes_oracle
from tests.redis import Redis
from tests.shapes import writes

pytestmark = pytest.mark.django_db(transaction=True)

#: Seconds in which programs are begun, per configuration.
BUDGET = 5


@pytest.mark.parametrize(
    ("kind", "servers", "with_redis"),
    [
        ("uvicorn", 1, False),
        ("uvicorn", 3, False),
        ("uvicorn", 1, True),
        ("uvicorn", 3, True),
        ("daphne", 1, False),
    ],
)
def test_every_copy_is_what_the_database_says(kind, servers, with_redis, start_servers):
    """Whatever is written, and whoever drops, stalls or is killed: all clients end equal."""
    with Redis() if with_redis else nullcontext() as redis:
        environment = redis.environment() if redis else {}
        started = start_servers(servers, kind, **environment)
        faults = []
        if servers > 1:
            faults.append(Fault("server killed", started[0].kill, started[0].start, seconds=1))
        if redis:
            faults.append(Fault("Redis killed", redis.crash, redis.start, seconds=1))
            faults.append(Fault("Redis paused", redis.pause, redis.resume, seconds=1))
            faults.append(Fault("Redis flushed", redis.flush, lambda: None))
        oracle = shapes_oracle(
            [server.websocket_url for server in started],
            faults=faults,
            writers=3,
            environment=environment,
        )
        report = oracle.run(seconds=BUDGET, steps=150)
    report.check()
    assert report.writes > 0
    assert report.events > 0
    print(report)


@pytest.mark.parametrize(("kind", "servers"), [("uvicorn", 2), ("daphne", 1)])
def test_nobody_holds_what_is_not_his(kind, servers, start_servers):
    """Whosever rights change, with rows or without: each ends with what his queryset has."""
    started = start_servers(servers, kind)
    oracle = shapes_oracle(
        [server.websocket_url for server in started],
        visitors=USERS,
        streams=PERSONAL,
        writes=[*writes.NOTE_WRITES, *writes.RIGHTS_WRITES],
        stamp=None,
        writers=3,
        clients=6,
        # Whom a writer has locked out when it is killed, would stay so.
        kill_writers=False,
    )
    report = oracle.run(seconds=BUDGET, steps=100)
    report.check()
    assert report.writes > 0
    assert report.events > 0
    print(report)
