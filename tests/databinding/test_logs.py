"""What the log is told: which error and where, and nothing of what rows hold."""

import io
import json
import logging
import logging.config
import sqlite3

import pytest
from channels.db import database_sync_to_async as in_database
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, OperationalError, connection
from django.test import override_settings
from djangochannelsrestframework.decorators import action
from rest_framework.serializers import ModelSerializer

from databinding import subscription
from databinding.logs import Outline, WithoutContents, outlined, summary
from databinding.relay import DatabaseAway
from databinding.websockets import WebsocketBinding
from tests.databinding.clients import Client, eventually, named
from tests.databinding.events import Response
from tests.shapes.bindings import Open
from tests.shapes.models import Named
from tests.talk.bindings import Demultiplexer, IntegerValueBinding
from tests.talk.models import IntegerValue

SECRET = "the king has donkey's ears"


def logged(error):
    """What a handler without a filter of its own writes of an error at the library's logger."""
    logger = logging.getLogger("databinding")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    try:
        try:
            raise error
        except type(error):
            logger.exception("It failed.")
    finally:
        logger.removeHandler(handler)
    return stream.getvalue()


def test_an_error_is_named_and_located_without_its_text():
    """Class, file and line of an exception are logged, its text isn't."""
    text = logged(ValueError(SECRET))
    assert text.startswith("It failed.\nTraceback (most recent call last):\n")
    assert "test_logs.py" in text
    assert "raise error" in text
    assert text.endswith("\nValueError\n")
    assert SECRET not in text


def test_causes_notes_and_groups_are_named_too():
    """What led to an exception, and what is in a group, is there by name; notes are contents."""
    inner = KeyError(SECRET)
    error = RuntimeError(SECRET)
    error.__cause__ = inner
    inner.__context__ = error  # It may come in a circle.
    error.add_note(SECRET)
    text = logged(ExceptionGroup(SECRET, [error, ValueError(SECRET)]))
    assert SECRET not in text
    for name in ("KeyError", "RuntimeError", "ValueError", "direct cause"):
        assert name in text


def test_an_error_that_is_mentioned_is_summed_up(caplog):
    """An exception as an argument of a message is its name alone."""
    logging.getLogger("databinding").error("It failed: %s (%d)", KeyError(SECRET), 5)
    assert caplog.messages == ["It failed: KeyError (5)"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KeyError(SECRET), "KeyError"),
        (ImproperlyConfigured("X must have rows()."), "ImproperlyConfigured: X must have rows()."),
        (DatabaseAway("It is away."), "DatabaseAway: It is away."),
        (OperationalError(SECRET), "OperationalError"),
        (sqlite3.OperationalError(SECRET), "OperationalError"),
    ],
)
def test_what_is_harmless_is_said(error, expected):
    """Sentences of the library's own and about settings stand in the log, others don't."""
    assert summary(error) == expected


@pytest.mark.django_db(transaction=True)
def test_a_database_error_keeps_what_tells_of_no_row():
    """Of a broken constraint there are code and name, of the key that is there already nothing."""
    IntegerValue.objects.create(name=SECRET)
    with pytest.raises(IntegrityError) as refused:
        IntegerValue.objects.create(name=SECRET)
    said = summary(refused.value)
    if connection.vendor == "postgresql":
        assert SECRET in str(refused.value)
        assert said.startswith("IntegrityError: 23505 talk_integervalue talk_integervalue_name_")
    else:
        assert said == "IntegrityError: SQLITE_CONSTRAINT_UNIQUE"
    assert SECRET not in logged(refused.value)


@pytest.mark.sqlite
@pytest.mark.django_db(transaction=True)
def test_a_file_that_is_locked_says_so():
    """What concerns connections, locks and files, and no row, is said as it is."""
    settings_dict = connection.settings_dict
    with sqlite3.connect(settings_dict["NAME"]) as other:
        other.execute("BEGIN IMMEDIATE")
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 1")
            with pytest.raises(OperationalError) as refused:
                cursor.execute("INSERT INTO talk_integervalue (name, value) VALUES ('a', 1)")
            cursor.execute("PRAGMA busy_timeout = 20000")
        other.rollback()
    other.close()
    assert summary(refused.value) == "OperationalError: database is locked"


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_server_that_is_asked_for_too_long_says_so():
    """What PostgreSQL says of connections, locks and time is said as it is; of values it isn't."""
    with connection.cursor() as cursor:
        with pytest.raises(OperationalError) as refused:
            cursor.execute("SET statement_timeout = 1; SELECT pg_sleep(1)")
        cursor.execute("SET statement_timeout = 0")
        with pytest.raises(Exception, match=SECRET) as wrong:
            cursor.execute("SELECT %s::int", [SECRET])
    assert summary(refused.value).startswith("OperationalError: 57014 canceling statement")
    assert summary(wrong.value) == "DataError: 22P02"


def test_an_outline_is_made_once():
    """An exception that was outlined stays as it is."""
    once = outlined(ValueError(SECRET))
    assert isinstance(once, Outline)
    assert outlined(once) is once


def test_developers_see_everything(caplog):
    """With DEBUG on nothing is left out."""
    with override_settings(DEBUG=True):
        assert SECRET in logged(ValueError(SECRET))


def test_the_projects_handlers_leave_contents_out(capsys):
    """Whatever is logged in this project, by Django or by the server program, has no contents."""
    handlers = settings.LOGGING["handlers"].values()
    assert all(handler["filters"] == ["contents"] for handler in handlers)
    assert settings.LOGGING["filters"] == {"contents": {"()": "databinding.logs.WithoutContents"}}
    record = logging.LogRecord(
        "django.request", logging.ERROR, "", 0, "%s", (ValueError(SECRET),), None
    )
    assert WithoutContents().filter(record)
    assert record.getMessage() == "ValueError"


# Planted faults: whatever raises, with a row's content in its hand


class Fails(Exception):
    def __init__(self, *args):
        super().__init__(SECRET, *args)


class Careless(ModelSerializer):
    class Meta:
        model = Named
        fields = ["code", "value"]

    def to_representation(self, instance):
        if instance.value == 1:
            raise Fails(instance.code)
        return super().to_representation(instance)


class FailingBinding(Open, WebsocketBinding):
    model = Named
    stream = "failing"
    serializer_class = Careless

    @classmethod
    def group_names(cls, instance):
        if instance.value == 2:
            raise Fails(instance.code)
        return ["named"]

    @classmethod
    def rows(cls, group):
        if group == "fail":
            raise Fails
        return Named.objects.all()

    def has_permission(self, user, action, pk):
        if action == "retrieve":
            raise Fails
        return True


class Consumer(FailingBinding.consumer):
    def perform_create(self, serializer):
        raise Fails

    @action()
    def fail(self, **kwargs):
        raise Fails

    @action()
    def twice(self, **kwargs):
        try:
            IntegerValue.objects.create(name=SECRET)
            IntegerValue.objects.create(name=SECRET)
        except IntegrityError as error:
            raise RuntimeError(str(error)) from error


class Foreign(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content, **kwargs):
        raise Fails


class Unknown:
    def connection_groups(self):
        raise Fails


@pytest.fixture
def told(caplog):
    """Everything that was logged, at every level, by whomever."""
    caplog.set_level(logging.DEBUG)

    def text():
        formatter = logging.Formatter("%(name)s %(message)s")
        return "\n".join(formatter.format(record) for record in caplog.records)

    return text


@pytest.fixture
def failing(registry_as_it_was):
    from databinding.binding import registry

    if FailingBinding not in registry:
        registry.append(FailingBinding)
    return named({"failing": Consumer, "foreign": Foreign}, ["named"])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("asked", ["retrieve", "create", "fail", "twice"])
async def test_a_request_that_fails_tells_nothing_of_rows(asked, failing, told):
    """Permissions, saves and actions that raise are logged without what they raise."""
    await in_database(Named.objects.create)(code="x")
    async with Client(failing) as client:
        reply = await client.ask("failing", asked, pk="x") if asked == "retrieve" else None
        if asked == "create":
            reply = await client.ask("failing", asked, data={"code": "y", "value": 5})
        if reply is None:
            reply = await client.ask("failing", asked)
        assert reply["response_status"] == 500
        assert SECRET not in json.dumps(reply)
    assert f"Consumer: {asked} failed" in told() or f"Binding: {asked} failed" in told()
    assert "Traceback" in told()
    assert SECRET not in told()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("value", [1, 2])
async def test_a_row_that_fails_tells_only_its_key(value, failing, told):
    """A row that can't be rendered or placed is named by its key; its content isn't there."""
    async with Client(failing) as client:
        await client.subscribe("failing")
        await in_database(Named.objects.create)(code="x", value=value)
        await in_database(Named.objects.create)(code="y")
        await client.until("failing", {"y": {"code": "y", "value": 0}})
    assert "row 'x' can't be" in told()
    assert "Fails" in told()
    assert SECRET not in told()


@pytest.mark.django_db(transaction=True)
async def test_groups_that_fail_tell_nothing(failing, told, monkeypatch):
    """`rows`, `connection_groups` and other consumers that raise are logged without contents."""
    monkeypatch.setattr(subscription.Subscription, "AWAY", 0.01)
    failing.connection_groups = lambda self: ["fail"]
    async with Client(failing) as client:
        await client.ask("failing", "subscribe")
        await client.send("foreign", "anything")
        await eventually(lambda: "foreign failed" in told())
    assert "Stream failing: a request failed" in told()
    broken = named({"failing": Consumer}, [])
    broken.connection_groups = Unknown.connection_groups
    with pytest.raises(Exception, match=r"^$") as raised:
        await Client(broken).__aenter__()
    assert type(raised.value).__name__ == "Fails"
    async with Response(broken, "failing") as source:
        assert source.refusal()[1] == 500
    assert "its events failed" in told()
    assert SECRET not in told()


@pytest.mark.django_db(transaction=True)
async def test_a_clients_words_are_no_lines_in_the_log(told):
    """A forged line in an action, a stream or a key isn't logged at all."""
    forged = "\n2026-01-01 00:00:00 ERROR databinding: forged"
    async with Client(Demultiplexer) as client:
        assert (await client.ask("intval", forged))["response_status"] == 405
        await client.ask(forged, "list")
        await client.ask("intval", "retrieve", pk=forged)
    assert "forged" not in told()
    assert IntegerValueBinding.stream == "intval"


async def test_a_token_is_nowhere(told, transactional_db):
    """What a client brings to be known by isn't logged, whatever becomes of it."""
    token = "donkeys-ears-" * 3
    headers = [(b"authorization", f"Token {token}".encode()), (b"cookie", token.encode())]
    async with Client(Demultiplexer, headers=headers) as client:
        while (await client.receive_output())["type"] != "websocket.close":
            pass
    async with Client(Demultiplexer) as client:
        said = {"action": "authenticate", "request_id": 1, "token": token}
        await client.send_text(json.dumps({"stream": None, "payload": said}))
        assert (await client.receive())["payload"]["response_status"] == 401
    assert token not in told()
