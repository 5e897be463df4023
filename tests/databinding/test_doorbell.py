"""The doorbell over a channel layer: it reaches others, and harms nobody while it can't."""

import logging
import threading

import pytest
from channels.db import database_sync_to_async as in_database
from django.db import transaction
from django.test import override_settings

from dashboard.consumers import Demultiplexer
from databinding import doorbell
from databinding.doorbell import channel_layer
from tests.databinding.clients import Client
from tests.redis import Redis
from tests.servers import PATIENCE, command, shell, wait_until
from tests.talk.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)

BACKENDS = {
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
    "core": "channels_redis.core.RedisChannelLayer",
}
#: Nobody looks by himself: what arrives has rung.
NO_POLL = {"POLL_BUSY": 3600, "POLL_REST": 3600, "POLL_POSTGRESQL": 3600}


#: Seconds after which a layer is away, where a busy machine isn't to be taken for that.
PATIENT = PATIENCE / 6


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A carrier that doesn't give up Redis because the machine has no time for it."""
    for limit in ("TIMEOUT", "FLUSH"):
        monkeypatch.setattr(channel_layer.Carrier, limit, PATIENT)


@pytest.fixture
def redis():
    with Redis() as redis:
        yield redis


@pytest.fixture(params=BACKENDS)
def layers(request, redis):
    """CHANNEL_LAYERS of this process, with each of the Redis layers; a carrier of its own."""
    backend = BACKENDS[request.param]
    hosts = [redis.environment()["REDIS_URL"]]
    layers = {"default": {"BACKEND": backend, "CONFIG": {"hosts": hosts}}}
    with override_settings(CHANNEL_LAYERS=layers):
        channel_layer.renew()
        yield layers
        channel_layer.carrier().stop()
    channel_layer.renew()


@pytest.fixture
def heard(monkeypatch):
    """How often the doorbell of a database that nothing else listens to has rung here."""
    rings = []
    monkeypatch.setitem(doorbell._listeners, "default", lambda: rings.append("default"))
    return rings


def listen(heard):
    """Listen as a relay does; return when what others ring is heard."""
    doorbell.listen("default", lambda: heard.append("default"))
    wait_until(lambda: heard)  # The first ring is for whatever came before.
    heard.clear()


def elsewhere(layers, code, patience=PATIENT):
    """Another process, configured alike and as patient, runs this and ends."""
    return (
        f"from django.conf import settings; settings.CHANNEL_LAYERS = {layers!r}\n"
        "from databinding import doorbell\n"
        "from databinding.doorbell.channel_layer import Carrier\n"
        f"Carrier.TIMEOUT = Carrier.FLUSH = {patience}\n{code}"
    )


RING = "doorbell.ring('default')"


def test_another_process_is_heard(database, layers, heard):
    """A process that rings and ends at once is heard, once."""
    listen(heard)
    shell(database, elsewhere(layers, RING))
    wait_until(lambda: heard)
    assert heard == ["default"]


async def test_a_page_needs_no_poll(database, layers):
    """What another process saves arrives although nobody looks for it."""
    with override_settings(DATABINDING=NO_POLL):
        async with Client(Demultiplexer) as client:
            await client.subscribe("intval")
            carrier = channel_layer.carrier()
            await in_database(wait_until)(lambda: carrier.up)
            write = "from values.models import IntegerValue as V; V.objects.create(name='rung')"
            await in_database(shell)(database, elsewhere(layers, write))
            while not client.rows["intval"]:
                await client.receive()
            assert [data["name"] for data in client.rows["intval"].values()] == ["rung"]


def test_one_ring_a_transaction(layers, heard):
    """A transaction is rung once elsewhere, and not heard by the process that wrote it."""
    listen(heard)
    carrier = channel_layer.carrier()
    before = carrier.rung
    with transaction.atomic():
        for number in range(20):
            IntegerValue.objects.create(name=f"n{number}")
        assert heard == []
    wait_until(lambda: carrier.rung > before)
    assert (heard, carrier.rung, carrier.heard) == (["default"], before + 1, 0)


def test_redis_away(database, redis, layers, heard, caplog):
    """Writers don't notice that Redis is down; it is said once, and heard again by itself."""
    listen(heard)
    carrier = channel_layer.carrier()
    redis.crash()
    wait_until(lambda: not carrier.up)
    for number in range(20):
        IntegerValue.objects.create(name=f"n{number}")
    shell(database, elsewhere(layers, RING))  # It ends, without an error.
    failed = carrier.failed
    wait_until(lambda: carrier.failed > failed + 1)
    redis.start()
    wait_until(lambda: carrier.up)
    heard.clear()
    shell(database, elsewhere(layers, RING))
    wait_until(lambda: heard)
    said = [record.getMessage() for record in caplog.records if record.name == "databinding"]
    assert len([text for text in said if text.startswith("No doorbell")]) == 1, said
    assert said[-1].endswith("is back.")


def test_redis_paused(database, redis, layers, heard, monkeypatch):
    """A Redis that doesn't answer holds nobody up: rings wait for it together."""
    listen(heard)
    carrier = channel_layer.carrier()
    redis.pause()
    with monkeypatch.context() as impatient:
        impatient.setattr(channel_layer.Carrier, "TIMEOUT", 0.5)
        wait_until(lambda: not carrier.up)
    before = carrier.rung
    ring = elsewhere(layers, RING, patience=0.5)
    with command(database, "shell", "--command", ring) as process:
        for _ in range(1000):
            doorbell.ring("default")
        # Not answered, it ends all the same.
        assert process.wait(PATIENCE) == 0
    redis.resume()
    wait_until(lambda: carrier.up)
    doorbell.ring("default")
    wait_until(lambda: carrier.rung > before)
    assert carrier.rung <= before + 2
    named = [thread for thread in threading.enumerate() if thread.name == "databinding-doorbell"]
    assert len(named) == 1


def test_what_rings_while_a_ring_is_under_way_is_not_lost(redis, layers, heard, monkeypatch):
    """A process that ends hands on also what was rung while Redis was taking the ring before."""
    monkeypatch.setattr(channel_layer.Carrier, "TIMEOUT", PATIENCE)
    monkeypatch.setattr(channel_layer.Carrier, "FLUSH", PATIENCE)
    carrier = channel_layer.carrier()
    doorbell.ring("default")
    wait_until(lambda: carrier.rung == 1)
    redis.pause()
    doorbell.ring("default")
    wait_until(lambda: not carrier._waiting)
    doorbell.ring("default")
    resuming = threading.Timer(0.1, redis.resume)
    resuming.start()
    carrier.stop()
    resuming.join()
    assert (carrier.rung, carrier._waiting) == (3, set())


def test_a_ring_just_as_the_layer_fails(redis, layers, heard, caplog):
    """Who rings while the failure of the layer is being logged isn't told of it either."""
    failed = []

    class Rings(logging.Handler):
        def emit(self, record):
            try:
                doorbell.ring("default")
            except Exception as error:
                failed.append(error)
            failed.append(None)

    handler = Rings()
    logger = logging.getLogger("databinding")
    logger.addHandler(handler)
    try:
        doorbell.ring("default")
        wait_until(lambda: channel_layer.carrier().up)
        redis.crash()
        doorbell.ring("default")
        wait_until(lambda: failed)
    finally:
        logger.removeHandler(handler)
    assert failed[0] is None


def test_a_thread_that_cannot_be_started_is_started_by_the_next_ring(layers, heard, monkeypatch):
    """Where a process may have no more threads for a moment, it rings later."""
    carrier = channel_layer.carrier()
    with monkeypatch.context() as crowded:

        def start(thread):
            raise RuntimeError("can't start new thread")

        crowded.setattr(threading.Thread, "start", start)
        doorbell.ring("default")
    assert carrier.rung == 0
    doorbell.ring("default")
    wait_until(lambda: carrier.rung == 1)


def test_redis_flushed(database, redis, layers, heard):
    """A Redis that has forgotten everything is joined again."""
    listen(heard)
    redis.flush()

    def rung_and_heard():
        shell(database, elsewhere(layers, RING))
        return heard

    wait_until(rung_and_heard)
    assert heard


def test_a_forked_process_rings(database, layers, heard):
    """A process that was forked from one that has rung already is heard as well."""
    listen(heard)
    forked = (
        f"import os, time, warnings; warnings.simplefilter('ignore')\n{RING}\n"
        "while not doorbell.channel_layer.carrier().up: time.sleep(0.01)\n"
        "child = os.fork()\n"
        f"if not child:\n    {RING}; doorbell.channel_layer.carrier().stop(); os._exit(0)\n"
        "os.waitpid(child, 0)"
    )
    shell(database, elsewhere(layers, forked))
    wait_until(lambda: len(heard) == 2)
    assert heard == ["default"] * 2


def test_other_messages_do_no_harm(database, redis, layers, heard):
    """What isn't a ring, and rings of databases that aren't known, leave the doorbell working."""
    listen(heard)
    odd = (
        "from asgiref.sync import async_to_sync\n"
        "from channels.layers import get_channel_layer\n"
        "send = async_to_sync(get_channel_layer().group_send)\n"
        "for odd in ({'type': 'x'}, {'type': 'x', 'aliases': 5}, {'type': 'x', 'aliases': [[]]}):\n"
        "    send('databinding.doorbell', odd)\n"
        "doorbell.ring('other')\n"
    )
    shell(database, elsewhere(layers, odd))
    shell(database, elsewhere(layers, RING))
    wait_until(lambda: heard)
    assert (heard, channel_layer.carrier().failed) == (["default"], 0)


def test_no_layer_no_thread(heard):
    """Without a layer, with one in memory, or with DOORBELL None nothing but this process rings."""
    memory = {"default": {"BACKEND": channel_layer.IN_MEMORY}}
    cases = [({}, {}), (memory, {}), ({"default": {"BACKEND": "x"}}, {"DOORBELL": None})]
    for layers, own in cases:
        with override_settings(CHANNEL_LAYERS=layers, DATABINDING=own):
            doorbell.ring("default")
    assert heard == ["default"] * len(cases)
    assert "databinding-doorbell" not in [thread.name for thread in threading.enumerate()]
