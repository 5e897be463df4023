"""What there was of a connection is gone with it: no cycles are left to Python's collector, which
holds the loop for as long as it takes to find them."""

import gc

import pytest
from rest_framework.exceptions import PermissionDenied

from databinding.connection import Connection
from databinding.door import Door
from databinding.inbound import BindingConsumer
from databinding.introduction import Introduction
from databinding.refusals import as_api_exception
from databinding.session import Session
from databinding.subscription import Subscription
from databinding.websockets import WebSocketDemultiplexer
from tests.databinding.clients import Client, eventually
from tests.databinding.users import user_named
from tests.shapes.bindings import Demultiplexer

pytestmark = pytest.mark.django_db(transaction=True)

OURS = (
    BindingConsumer,
    Connection,
    Door,
    Introduction,
    Session,
    Subscription,
    WebSocketDemultiplexer,
)


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def there():
    """What there is of connections."""
    return [one for one in gc.get_objects() if issubclass(type(one), OURS)]


async def subscribes(client):
    await client.subscribe("note", window=2)


async def asks(client):
    assert (await client.ask("note", "list"))["response_status"] == 200


async def writes(client):
    await client.subscribe("note")
    assert (await client.ask("note", "create", data={"text": "x"}))["response_status"] < 500


async def is_refused(client):
    assert (await client.ask("note", "no such action"))["response_status"] == 405


async def introduces_itself(client):
    assert (await client.ask(None, "whoami"))["response_status"] == 200


async def leaves_in_the_middle(client):
    await client.send("note", "list", request_id=1)


async def says_nothing(client):
    pass


@pytest.mark.parametrize(
    "does",
    [
        subscribes,
        asks,
        writes,
        is_refused,
        introduces_itself,
        leaves_in_the_middle,
        says_nothing,
    ],
)
@pytest.mark.parametrize("modern", [True, False])
async def test_nothing_is_left_of_a_connection(does, modern, no_collector):
    """Whatever a client did, when it has gone there is nothing of it to be collected."""
    # Other tests' pieces that something still knows; by this they stay.
    before = {id(one): one for one in there()}

    def new():
        return [one for one in there() if id(one) not in before]

    async with Client(Demultiplexer, user=await user_named("ana"), modern=modern) as client:
        await does(client)
        assert new()
    del client
    await eventually(lambda: not new())


def test_an_exception_may_be_its_own_cause():
    """Where an answer was raised is forgotten, also where `raise` was told a circle."""
    refused = PermissionDenied()
    with pytest.raises(PermissionDenied) as raised:
        raise refused from refused
    assert as_api_exception(raised.value) is refused
    assert refused.__traceback__ is None
