"""The oracle for the tests' shapes: which visitors there are, and what holds for them."""

from databinding.testing import Oracle, Stamp, Stream, Visitor, rows_of
from tests.servers import Server
from tests.shapes import watching, writes
from tests.shapes.bindings import AccountBinding, MessageBinding, NamedBinding

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
