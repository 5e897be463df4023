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
from values.models import FloatValue
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


@pytest.mark.django_db(transaction=True)
def test_the_past_is_asked_for_no_more_often_than_the_present(client, monkeypatch):
    """What values were counts with what they are, whatever of it is asked for, each answer once."""
    cache.clear()
    monkeypatch.setattr(Asking, "rate", "5/min", raising=False)
    row = FloatValue.objects.create(name="pump")
    found = [
        client.get(f"/api/{path}").status_code
        for path in (
            "floatval/",
            f"values/floatval/{row.pk}/history/",
            f"values/floatval/history/?pk={row.pk}",
            f"values/floatval/{row.pk}/changes/",
            "values/",
        )
    ]
    assert found == [200] * 5
    for path in ("intval/", "values/", f"values/floatval/{row.pk}/changes/"):
        refused = client.get(f"/api/{path}")
        assert refused.status_code == 429
        assert refused.json()["detail"].startswith("You ask more often than others can.")
        assert 0 < int(refused["Retry-After"]) <= 60
    assert client.get("/api/values/nothing/1/history/").status_code == 404


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
