"""The oracle for the tests' shapes: which visitors there are, and what holds for them."""

from functools import partial

from databinding.testing import Oracle, Stamp, Stream, Visitor, rows_of
from tests.servers import Server
from tests.shapes import watching, writes
from tests.shapes.bindings import (
    AccountBinding,
    MessageBinding,
    NamedBinding,
    NoteBinding,
    TeamBinding,
)

SETTINGS = "tests.oracle.settings"
APPLICATION = "tests.oracle.asgi:application"


def visitor(*rooms):
    groups = {"members", "papers", "children", "named", "accounts"}
    return Visitor(
        f"/shapes/{'-'.join(map(str, rooms))}/",
        frozenset(groups | {f"room-{room}" for room in rooms}),
    )


VISITORS = [visitor(1), visitor(2), visitor(1, 2), visitor(1, 2, 3)]
STREAMS = [
    Stream("message", rows_of(MessageBinding), [writes.only_what_is_theirs]),
    Stream("named", rows_of(NamedBinding)),
    *(
        Stream(binding.stream, rows_of(binding), watching.INVARIANTS.get(binding.stream, ()))
        for binding in watching.BINDINGS
    ),
    Stream("account", rows_of(AccountBinding), writes.ACCOUNT_INVARIANTS),
]
#: Users whose rights change, and what they see.
USERS = [
    Visitor(
        "/shapes/1/",
        frozenset({"notes"}),
        {"Authorization": f"Token {writes.token(name)}"},
        partial(writes.user_named, name),
    )
    for name in writes.USERS
]
PERSONAL = [
    Stream("note", rows_of(NoteBinding), [writes.only_what_is_readable]),
    Stream("team", rows_of(TeamBinding)),
]
STAMP = Stamp("named", "value", writes.count)


def shapes_server(database, kind="uvicorn", **more):
    """A server of the shapes on this database; `more` goes into its environment."""
    return Server(kind, database, application=APPLICATION, settings=SETTINGS, **more)


def shapes_oracle(urls, **options):
    """An oracle of the shapes against these servers' websocket URLs; options as of `Oracle`."""
    options = {
        "visitors": VISITORS,
        "streams": STREAMS,
        "writes": [*writes.WRITES, *writes.SLOW],
        "setup": writes.reset,
        "stamp": STAMP,
    } | options
    # A writer warns whenever Redis goes.
    environment = {"DJANGO_SETTINGS_MODULE": SETTINGS, "LOG_LEVEL": "ERROR"}
    return Oracle(urls, environment=environment | options.pop("environment", {}), **options)
