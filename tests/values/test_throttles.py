"""How often one may ask for values."""

import os
import subprocess
import sys

import pytest
from django.core.cache import cache

from dashboard.consumers import Demultiplexer
from databinding.throttling import throttles_of
from tests.databinding.clients import Client
from tests.servers import CHECKOUT
from values.throttles import Asking


@pytest.mark.django_db(transaction=True)
async def test_who_asks_too_often_is_told_when_to_come_again(monkeypatch):
    """Reads and writes of one address count together, on all streams of values; pages go on."""
    cache.clear()
    monkeypatch.setattr(Asking, "rate", "3/min", raising=False)
    async with Client(Demultiplexer, client=("192.0.2.1", 1)) as client:
        found = [
            (await client.ask(stream, asked, **more))["response_status"]
            for stream, asked, more in (
                ("intval", "list", {}),
                ("floatval", "list", {}),
                ("intval", "create", {"data": {"name": "a"}}),
                ("boolval", "retrieve", {"pk": 1}),
            )
        ]
        assert found == [200, 200, 401, 429]
        await client.subscribe("intval")


def test_every_stream_of_values_is_throttled():
    """None of the project's resources may be asked without end."""
    for stream in Demultiplexer.consumers:
        assert throttles_of(Demultiplexer.binding_of(stream)), stream


@pytest.mark.parametrize(
    ("said", "rate"),
    [({}, "30/sec"), ({"ASKING_RATE": "5/min"}, "5/min"), ({"ASKING_RATE": ""}, "None")],
)
def test_the_environment_says_how_often(said, rate):
    """`ASKING_RATE` is the rate; empty, there is none."""
    given = {name: value for name, value in os.environ.items() if name != "ASKING_RATE"}
    code = (
        "import dashboard.settings as s;print(s.REST_FRAMEWORK['DEFAULT_THROTTLE_RATES']['asking'])"
    )
    process = subprocess.run(
        [sys.executable, "-c", code],
        env=given | {"SECRET_KEY": "x", "PYTHONPATH": str(CHECKOUT)} | said,
        capture_output=True,
        text=True,
    )
    assert process.stdout.strip() == rate
