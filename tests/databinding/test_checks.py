"""System checks: each id with its condition, and silence without it."""

import pytest
from django.core import checks
from django.db import connection
from django.test import override_settings

from databinding import journal
from databinding.binding import registry
from databinding.checks import (
    check_bindings,
    check_databases,
    check_doorbell,
    check_groups,
    check_lists,
    check_sessions,
    check_settings,
    check_triggers,
)
from databinding.conf import DEFAULTS
from databinding.status import status
from databinding.triggers import drift, install, uninstall
from databinding.websockets import WebsocketBinding
from tests.shapes.bindings import MessageBinding, TaskBinding
from tests.shapes.models import Message
from tests.talk.models import IntegerValue

REDIS = {"default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer"}}
MEMORY = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

CHECKS = [
    check_bindings,
    check_databases,
    check_doorbell,
    check_lists,
    check_settings,
    check_triggers,
]

#: What every binding needs, but its fields.
GROUPED = {"model": IntegerValue, "group_names": lambda row: ["a"]}


def ids(messages):
    return [message.id for message in messages]


def test_the_checks_are_registered():
    """Django runs them: those that ask a database only where it is named."""
    registered = checks.registry.registry.get_checks()
    assert set(CHECKS) <= set(registered)
    assert checks.Tags.database in check_triggers.tags


@pytest.mark.django_db
def test_this_project_has_nothing_to_say():
    """The settings and bindings of the tests pass every check."""
    with override_settings(CHANNEL_LAYERS=REDIS):  # on PostgreSQL they ask for one
        assert [message for check in CHECKS for message in check(databases=["default"])] == []


# E001


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"KEY_LIMT": 5}, "'KEY_LIMT'"),
        ({"CAPTURE": "polling"}, "'polling'"),
        ({"CAPTURE": None}, "None"),
        ({"RETENTION": 0}, "'RETENTION'] can't be 0"),
        ({"KEY_LIMIT": -1}, "'KEY_LIMIT'] can't be -1"),
        ({"LINGER": "30"}, "'LINGER'] can't be '30'"),
        ({"MAX_FRAME": True}, "'MAX_FRAME'] can't be True"),
        ({"POLL_REST": None}, "'POLL_REST'] can't be None"),
        ({"TRUSTED_PROXIES": -1}, "'TRUSTED_PROXIES'] can't be -1"),
        ({"TRUSTED_PROXIES": True}, "'TRUSTED_PROXIES'] can't be True"),
    ],
)
def test_unknown_and_impossible_settings(wrong, named):
    """databinding.E001 names a setting that isn't, or a value that can't be."""
    with override_settings(DATABINDING=wrong):
        (error,) = check_settings()
    assert error.id == "databinding.E001"
    assert named in error.msg
    assert error.hint


def test_possible_settings():
    """Every setting at its default, some at others, is right; so is none at all."""
    for right in (DEFAULTS, {"CAPTURE": "signals", "RETENTION": 60, "LINGER": 0.5}, {}, None):
        with override_settings(DATABINDING=right):
            assert check_settings() == []


# E002


@pytest.mark.parametrize("attributes", [{"fields": ["name", "nope"]}, {"exclude": ["nope"]}])
def test_a_field_that_is_not_there(attributes, registry_as_it_was):
    """databinding.E002 names a field that a model doesn't have, and the binding."""
    wrong = type("Wrong", (WebsocketBinding,), GROUPED | attributes)
    (error,) = check_bindings()
    assert error.id == "databinding.E002"
    assert error.msg == "Wrong: IntegerValue has no nope."
    assert error.obj is wrong
    registry.remove(wrong)
    assert check_bindings() == []


# W009


def test_a_method_that_nothing_calls(registry_as_it_was):
    """databinding.W009 names a method that Channels 1 called, inherited ones too."""
    mixin = type("Mixin", (), {"serialize": lambda self, instance, action: {}})
    given = GROUPED | {"fields": ["name"], "create": lambda self, data: None}
    ported = type("Ported", (mixin, WebsocketBinding), given)
    found = check_bindings()
    assert {(one.id, one.obj) for one in found} == {("databinding.W009", ported)}
    assert [one.msg.split("()")[0] for one in found] == ["Ported.create", "Ported.serialize"]
    registry.remove(ported)
    assert check_bindings() == []


# W010


def test_what_signals_do_not_see(monkeypatch):
    """databinding.W010 names models without a JournalingManager, until the binding heals itself."""
    assert "databinding.W010" not in ids(check_bindings())
    with override_settings(DATABINDING={"CAPTURE": "signals"}):
        found = {one.obj: one for one in check_bindings() if one.id == "databinding.W010"}
        assert found.keys() == set(registry)
        assert "update(), bulk_create() and bulk_update() of Message, raw SQL" in str(
            found[MessageBinding].msg
        )
        assert str(found[TaskBinding].msg).startswith("TaskBinding doesn't see raw SQL and")
        monkeypatch.setattr(TaskBinding, "refresh_every", 60)
        assert TaskBinding not in [one.obj for one in check_bindings()]


# W020


def test_sessions_that_cannot_be_ended():
    """databinding.W020 names the session engine whose sessions the server can't end."""
    assert ids(check_sessions()) == []
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies"):
        assert ids(check_sessions()) == ["databinding.W020"]


# E009


@pytest.mark.django_db
def test_a_binding_without_groups(registry_as_it_was):
    """databinding.E009 names a binding that doesn't say who sees its rows; no check fails of it."""

    class Groupless(WebsocketBinding):
        model = IntegerValue
        fields = ["name"]
        order_by = ["name"]

    (error,) = check_bindings()
    assert (error.id, error.obj) == ("databinding.E009", Groupless)
    assert check_groups(databases=["default"]) == []
    (binding,) = (
        one for one in status()["databases"]["default"]["bindings"] if "Groupless" in one["binding"]
    )
    assert binding["groups"] == []


# E008


def test_a_window_that_can_not_be_read(registry_as_it_was):
    """databinding.E008 names an order that can't be, and groups that the database can't find."""
    given = {"model": IntegerValue, "fields": ["name"], "order_by": ["nope"]}
    nowhere = type("Nowhere", (WebsocketBinding,), given | {"group_names": lambda row: ["a"]})
    (error,) = check_bindings()
    assert (error.id, error.obj) == ("databinding.E008", nowhere)
    assert error.msg.startswith("Nowhere.order_by: Cannot resolve keyword 'nope'")
    registry.remove(nowhere)
    given |= {"order_by": ["name"], "group_names": lambda row: [row.name]}
    rowless = type("Rowless", (WebsocketBinding,), given)
    (error,) = check_bindings()
    assert (error.id, error.obj) == ("databinding.E008", rowless)
    assert "rows(group)" in error.hint
    registry.remove(rowless)
    given |= {"rows": classmethod(lambda cls, group: IntegerValue.objects.all())}
    type("Right", (WebsocketBinding,), given)
    assert check_bindings() == []


# E013, E014


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("ordering_fields", ["room__name", "text"], ["tags"]),
        ("ordering_fields", ["pk"], ["nope"]),
        ("search_fields", ["^text", "tags__name"], ["=nope"]),
        ("filterset_fields", {"room__name": ["exact"]}, ["nope"]),
    ],
)
def test_lists_that_can_not_be_narrowed(registry_as_it_was, name, right, wrong):
    """databinding.E013 names what a list can be neither filtered, searched nor ordered by."""
    given = GROUPED | {"model": Message, "fields": ["text"]}
    type("Right", (WebsocketBinding,), given | {name: right})
    assert check_lists() == []
    binding = type("Wrong", (WebsocketBinding,), given | {name: wrong})
    (error,) = check_lists()
    assert (error.id, error.obj) == ("databinding.E013", binding)
    assert error.msg.startswith(f"Wrong.{name}: ")
    assert wrong[0].lstrip("=") in error.msg


def test_filters_without_what_makes_them(registry_as_it_was):
    """databinding.E014 names a binding with filters where django-filter isn't to be found."""
    registry.clear()
    given = GROUPED | {"fields": ["name"], "filterset_fields": ["name"]}
    binding = type("Filtered", (WebsocketBinding,), given)
    assert check_lists() == []
    with override_settings(INSTALLED_APPS=["django.contrib.contenttypes", "tests.talk"]):
        (error,) = check_lists()
    assert (error.id, error.obj) == ("databinding.E014", binding)


# E003


def test_a_database_without_a_journal(monkeypatch):
    """databinding.E003 names a bound model's database of another vendor."""
    monkeypatch.setattr(connection, "vendor", "oracle")
    (error,) = check_databases()
    assert error.id == "databinding.E003"
    assert error.msg == "Bound models are on 'default', a oracle database."
    assert ", ".join(journal.VENDORS) in error.hint
    assert check_triggers(databases=["default"]) == []


# W003


@pytest.mark.django_db(transaction=True)
def test_triggers_out_of_step():
    """databinding.W003 says what is missing; without the database it isn't asked."""
    uninstall("default")
    (error,) = check_triggers(databases=["default"])
    assert error.id == "databinding.W003"
    assert all(name in error.msg for name in drift("default").missing)
    assert error.hint == "Run manage.py migrate --database default."
    assert check_triggers() == []
    assert check_triggers(databases=["other"]) == []


@pytest.mark.django_db(transaction=True)
def test_before_the_first_migrate_there_is_nothing_to_say(monkeypatch):
    """Where the journal isn't yet, migrate is about to make it."""
    uninstall("default")
    monkeypatch.setattr(connection.introspection, "table_names", lambda *args, **kwargs: [])
    assert check_triggers(databases=["default"]) == []


@pytest.mark.django_db(transaction=True)
def test_triggers_that_signals_make_superfluous():
    """With CAPTURE "signals", triggers that are still there are out of step."""
    with override_settings(DATABINDING={"CAPTURE": "signals"}):
        (error,) = check_triggers(databases=["default"])
    assert error.id == "databinding.W003"
    assert "stale: " in error.msg


# E004, W001, W002


@pytest.mark.sqlite
def test_a_database_in_memory(monkeypatch):
    """databinding.E004: in memory, no other thread sees a change."""
    monkeypatch.setitem(connection.settings_dict, "NAME", ":memory:")
    assert ids(check_databases()) == ["databinding.E004"]


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("transaction_mode", None, ["databinding.W001"]),
        ("transaction_mode", "DEFERRED", ["databinding.W001"]),
        ("transaction_mode", "immediate", []),
        ("init_command", None, ["databinding.W002"]),
        ("init_command", "PRAGMA synchronous=NORMAL;", ["databinding.W002"]),
        ("init_command", "pragma JOURNAL_MODE = Wal", []),
    ],
)
def test_sqlite_options(option, value, expected, monkeypatch):
    """databinding.W001 asks for immediate transactions, databinding.W002 for a write-ahead log."""
    options = {**connection.settings_dict["OPTIONS"], option: value}
    if value is None:
        del options[option]
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    found = check_databases()
    assert ids(found) == expected
    assert all(message.hint for message in found)


# E006


class NoJournal:
    def allow_migrate(self, db, app_label, **hints):
        return app_label != "databinding"


@override_settings(DATABASE_ROUTERS=[NoJournal()])
def test_routers_that_allow_no_journal():
    """databinding.E006 names a database with bound models onto which no journal may come."""
    (error,) = check_databases()
    assert error.id == "databinding.E006"
    assert "'default'" in error.msg
    assert "allow_migrate()" in error.hint


# E007


@pytest.fixture
def stranger(transactional_db):
    """A role that may read everything and make nothing; the connection works as it."""

    def execute(*statements):
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    execute(
        "CREATE ROLE databinding_stranger",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO databinding_stranger",
        "SET ROLE databinding_stranger",
    )
    yield
    execute("RESET ROLE", "DROP OWNED BY databinding_stranger", "DROP ROLE databinding_stranger")


@pytest.mark.postgresql
def test_a_role_that_may_make_no_triggers(stranger):
    """databinding.E007: where triggers are missing it says that this role can't make them."""
    assert check_triggers(databases=["default"]) == []
    with override_settings(DATABINDING={"CAPTURE": "signals"}):
        assert ids(check_triggers(databases=["default"])) == ["databinding.W003"]
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        uninstall("default")
        cursor.execute("SET ROLE databinding_stranger")
    try:
        warning, error = check_triggers(databases=["default"])
        assert [warning.id, error.id] == ["databinding.W003", "databinding.E007"]
        assert "talk_integervalue" in error.msg
        assert "owner" in error.hint
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")
        install("default")


def test_django_refuses_what_is_too_old():
    """No check of ours asks for PostgreSQL 14: Django connects to nothing older."""
    from django.db.backends.postgresql.features import DatabaseFeatures

    assert DatabaseFeatures.minimum_database_version >= (14,)


# W007


@pytest.mark.parametrize(
    ("together", "named"),
    [
        ({"RETENTION": 30}, "'CURSOR_INTERVAL'] is greater than DATABINDING['RETENTION']"),
        ({"POLL_BUSY": 0.2}, "'POLL_BUSY'] is greater than DATABINDING['POLL_REST']"),
    ],
)
def test_settings_that_work_against_each_other(together, named):
    """databinding.W007 names two settings that are right, but not together."""
    with override_settings(DATABINDING=together):
        (warning,) = check_settings()
    assert warning.id == "databinding.W007"
    assert named in warning.msg
    assert warning.hint


# W008


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        ({"min_size": 1, "max_size": 1}, ["databinding.W008"]),
        ({"min_size": 1}, ["databinding.W008"]),
        ({"max_size": 2}, []),
        ({"min_size": 2}, []),
        (True, []),
        (False, []),
    ],
)
def test_a_pool_that_is_too_small(pool, expected, monkeypatch):
    """databinding.W008: a pool that the relay has to itself."""
    options = {**connection.settings_dict["OPTIONS"], "pool": pool}
    with monkeypatch.context() as patched:
        patched.setitem(connection.settings_dict, "OPTIONS", options)
        assert ids(check_databases()) == expected


def test_the_ids_are_those_that_are_documented():
    """The module's docstring lists each id that a check can give."""
    import inspect
    import re

    from databinding import checks as module

    source = inspect.getsource(module)
    listed = set(re.findall(r"^databinding\.[EW]\d{3}", module.__doc__, re.MULTILINE))
    assert listed == set(re.findall(r'id="(databinding\.[EW]\d{3})"', source))


# E005, W005


def test_a_doorbell_that_is_not_there():
    """databinding.E005 names a channel layer that CHANNEL_LAYERS doesn't have."""
    for layers in ({}, REDIS):
        with override_settings(CHANNEL_LAYERS=layers, DATABINDING={"DOORBELL": "bell"}):
            assert ids(check_doorbell()) == ["databinding.E005"]
    there = {"bell": REDIS["default"]}
    with override_settings(CHANNEL_LAYERS=there, DATABINDING={"DOORBELL": "bell"}):
        assert check_doorbell() == []


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("layers", "own", "said"),
    [
        ({}, {}, ["databinding.W005"]),
        (MEMORY, {}, ["databinding.W005"]),
        (REDIS, {}, []),
        ({}, {"DOORBELL": None}, []),
    ],
)
def test_processes_without_a_common_layer(layers, own, said):
    """databinding.W005 tells that other processes' commits are late, unless that is meant."""
    with override_settings(CHANNEL_LAYERS=layers, DATABINDING=own):
        assert ids(check_doorbell()) == said


@pytest.mark.sqlite
def test_sqlite_needs_no_layer():
    """On SQLite no channel layer is asked for: its file tells of other processes."""
    with override_settings(CHANNEL_LAYERS={}):
        assert check_doorbell() == []
