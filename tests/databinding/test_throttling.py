"""How often one may ask: Django REST framework's throttles on bindings."""

from uuid import uuid4

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.cache import cache
from django.test import override_settings
from djangochannelsrestframework.decorators import action
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.throttling import AnonRateThrottle, ScopedRateThrottle, UserRateThrottle
from rest_framework.views import APIView

from databinding.throttling import ActionThrottle, AskedRequest, throttles_of
from tests.databinding.clients import Client, named
from tests.talk.bindings import IntegerValueBinding
from tests.talk.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)

STREAM = "intval"


@pytest.fixture(autouse=True)
def nobody_was_too_fast():
    cache.clear()


class Writing(ActionThrottle):
    actions = ("create", "update", "delete")
    rate = "2/min"
    detail = "You write too much."


class OfUser(UserRateThrottle):
    rate = "2/min"


class OfVisitor(AnonRateThrottle):
    rate = "2/min"


class Scoped(ScopedRateThrottle):
    THROTTLE_RATES = {"values": "2/min"}


@pytest.fixture
def throttled(monkeypatch):
    """A function that makes a demultiplexer of a stream with these throttles."""

    def with_throttles(*classes, consumer=IntegerValueBinding.consumer):
        monkeypatch.setattr(IntegerValueBinding, "throttle_classes", classes)
        return named({STREAM: consumer}, ["intval-updates"])

    return with_throttles


async def statuses(client, asked, times=3, /, **payload):
    replies = [await client.ask(STREAM, asked, **payload) for _ in range(times)]
    return [reply["response_status"] for reply in replies]


async def create(client):
    """The reply to the creation of a row like no other."""
    return await client.ask(STREAM, "create", data={"name": uuid4().hex})


async def creations(client, times):
    return [(await create(client))["response_status"] for _ in range(times)]


async def test_writes_of_a_visitor(throttled):
    """So many are done; one more is answered 429 with the time to wait, and isn't."""
    async with Client(throttled(Writing), client=("192.0.2.1", 1)) as client:
        for _ in range(2):
            assert (await create(client))["pk"]
        reply = await create(client)
        assert reply["response_status"] == 429
        assert 1 <= reply["retry_after"] <= 60
        assert reply["errors"] == [
            f"You write too much. Try again in {reply['retry_after']} seconds."
        ]
        assert await statuses(client, "list") == [200, 200, 200]
        assert await IntegerValue.objects.acount() == 2


async def test_writes_of_different_actions_count_together(throttled):
    """An action's throttle counts all that it names, and nothing else."""
    row = await IntegerValue.objects.acreate(name="a")
    async with Client(throttled(Writing), client=("192.0.2.1", 1)) as client:
        assert await statuses(client, "update", 1, pk=row.pk, data={"value": 1}) == [200]
        assert await statuses(client, "delete", 1, pk=row.pk) == [204]
        assert await creations(client, 1) == [429]


async def test_who_is_counted(throttled):
    """A user counts in all connections, a visitor by address, an IPv6 one by network."""
    ana, bob = [await User.objects.acreate(username=name) for name in ("ana", "bob")]
    demultiplexer = throttled(Writing)

    async def written(**scope):
        async with Client(demultiplexer, **scope) as client:
            return await creations(client, 1)

    here, there = ("2001:db8::1", 1), ("2001:db8:0:1::1", 1)
    assert await written(user=ana, client=here) == [201]
    assert await written(user=ana, client=there) == [201]
    assert await written(user=ana, client=here) == [429]
    assert await written(user=bob, client=here) == [201]
    assert await written(user=AnonymousUser(), client=here) == [201]
    assert await written(client=("2001:db8::2", 1)) == [201]
    assert await written(client=here) == [429]
    assert await written(client=there) == [201]


async def test_what_a_visitor_claims_to_be_changes_nothing(throttled):
    """Django REST framework's own throttles see the address that connections count by, too."""
    demultiplexer = throttled(OfVisitor)
    for number, expected in enumerate([200, 200, 429]):
        headers = [(b"x-forwarded-for", f"198.51.100.{number}".encode())]
        async with Client(demultiplexer, client=("192.0.2.1", 1), headers=headers) as client:
            assert await statuses(client, "list", 1) == [expected]
    with override_settings(DATABINDING={"TRUSTED_PROXIES": 1}):
        headers = [(b"x-forwarded-for", b"198.51.100.1")]
        async with Client(demultiplexer, client=("192.0.2.1", 1), headers=headers) as client:
            assert await statuses(client, "list", 1) == [200]


@pytest.mark.parametrize("throttle", [OfUser, OfVisitor])
async def test_throttles_of_the_framework(throttled, throttle):
    """Its ready throttles count every request; subscribing is none."""
    async with Client(throttled(throttle), client=("192.0.2.1", 1)) as client:
        for _ in range(3):
            await client.subscribe(STREAM)
        assert await statuses(client, "list", 1) == [200]
        assert await statuses(client, "retrieve", 2, pk=0) == [404, 429]


async def test_the_frameworks_scopes(throttled, monkeypatch):
    """A binding's `throttle_scope` is a view's."""
    async with Client(throttled(Scoped)) as client:
        assert await statuses(client, "list") == [200, 200, 200]
        monkeypatch.setattr(IntegerValueBinding, "throttle_scope", "values", raising=False)
        assert await statuses(client, "list") == [200, 200, 429]


async def test_the_frameworks_default(throttled, monkeypatch):
    """A binding that names no throttles has those that views have by the settings."""
    demultiplexer = throttled()
    assert throttles_of(IntegerValueBinding) == []
    monkeypatch.setattr(IntegerValueBinding, "throttle_classes", None)
    monkeypatch.setattr(api_settings, "DEFAULT_THROTTLE_CLASSES", [OfUser])
    async with Client(demultiplexer) as client:
        assert await statuses(client, "list") == [200, 200, 429]


class Acting(IntegerValueBinding.consumer):
    done = 0

    @action()
    def poke(self, times, **kwargs):
        Acting.done += times
        return None, 200


async def test_actions_of_ones_own(throttled, monkeypatch):
    """An `@action` is throttled by its name, once for each request, before it is done."""
    monkeypatch.setattr(Acting, "done", 0)
    throttle = type("Poking", (Writing,), {"actions": ("poke",)})
    async with Client(throttled(throttle, consumer=Acting)) as client:
        assert await statuses(client, "poke", times=1) == [200, 200, 429]
        assert await creations(client, 3) == [201, 201, 201]
    assert Acting.done == 2


async def test_all_throttles_count_and_the_longest_wait_is_told(throttled):
    """Of several that refuse, the one that refuses for longest has the word."""
    hourly = type("Hourly", (Writing,), {"rate": "1/hour", "detail": "Enough."})
    async with Client(throttled(Writing, hourly, OfUser)) as client:
        assert await creations(client, 2) == [201, 429]
        reply = await create(client)
        assert reply["errors"][0].startswith("Enough.")
        assert reply["retry_after"] > 60


def test_the_same_throttle_at_a_view(throttled):
    """One throttle counts a user's writes by websocket and by HTTP together."""

    class View(APIView):
        throttle_classes = [Writing]
        action = "create"

        def post(self, request):
            return Response(status=201)

    ana = User.objects.create(username="ana")
    asked = AskedRequest({}, ana, "create")
    assert Writing().allow_request(asked, View())
    found = []
    for _ in range(2):
        request = APIRequestFactory().post("/")
        force_authenticate(request, ana)
        found.append(View.as_view()(request).status_code)
    assert found == [201, 429]


def test_a_request_of_a_websocket_looks_like_one_of_http():
    """It has user, address and the method by which HTTP would ask the same."""
    scope = {"client": ("192.0.2.1", 1), "path": "/stream/"}
    methods = {name: AskedRequest(scope, None, name).method for name in ("list", "update", "poke")}
    assert methods == {"list": "GET", "update": "PATCH", "poke": "POST"}
    asked = AskedRequest(scope, AnonymousUser(), "delete")
    assert (asked.META["REMOTE_ADDR"], asked.path) == ("192.0.2.1", "/stream/")
    assert (asked.method, asked.auth) == ("DELETE", None)
