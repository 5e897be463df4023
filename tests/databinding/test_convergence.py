"""Random programs of writes against clients that stall, drop and resume: all end equal.

At rest every client's copy is what a fresh snapshot says, no client holds a row that it may not
see, and a value that only grows was never seen to shrink.
"""

import asyncio

import pytest
from channels.db import database_sync_to_async as in_database
from django.db import connection, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat
from django.test import override_settings
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.databinding.clients import PATIENCE, Client
from tests.shapes.bindings import Demultiplexer, MessageBinding
from tests.shapes.models import Message, Named, Room, Tag

ROOMS = 3
MESSAGES = 4
CLIENTS = [(0,), (1,), (0, 1), (2,), (0, 1, 2)]


class Undo(Exception):
    pass


class Writer:
    """Carries out one write, in Django's database thread."""

    def __init__(self):
        Message.objects.all().delete()
        Room.objects.all().delete()
        self.rooms = [Room.objects.create(name=str(number)).pk for number in range(ROOMS)]
        self.tags = [tag.pk for tag in Tag.objects.all()] or [
            Tag.objects.create(name=name).pk for name in "xy"
        ]
        for place in range(ROOMS):
            self.create(place, place)
        Named.objects.exclude(code="counter").delete()
        Named.objects.update_or_create(code="counter", defaults={"value": 0})
        self.named_come(0, 5)

    def message(self, place):
        return Message.objects.order_by("pk")[place : place + 1].first()

    def write(self, kind, place, number):
        getattr(self, kind)(place, number)
        Named.objects.filter(code="counter").update(value=F("value") + 1)

    def create(self, place, number):
        Message.objects.create(room_id=self.rooms[number % ROOMS], text=str(place))

    def save(self, place, number):
        if message := self.message(place):
            message.text = f"{number}"
            message.save()

    def move(self, place, number):
        if message := self.message(place):
            Message.objects.filter(pk=message.pk).update(room=self.rooms[number % ROOMS])

    def hide(self, place, number):
        if message := self.message(place):
            Message.objects.filter(pk=message.pk).update(hidden=bool(number % 2))

    def delete(self, place, number):
        if message := self.message(place):
            message.delete()

    def reinsert(self, place, number):
        """The same key goes and comes again, in one transaction or two."""
        if message := self.message(place):
            with transaction.atomic():
                Message.objects.filter(pk=message.pk).delete()
                if number % 2:
                    message.save(force_insert=True)
            if not number % 2:
                message.save(force_insert=True)

    def all_change(self, place, number):
        Message.objects.update(text=Concat(F("text"), Value(".")))

    def all_move(self, place, number):
        Message.objects.update(room=self.rooms[number % ROOMS])

    def tag(self, place, number):
        if message := self.message(place):
            message.tags.set(self.tags[: number % 3])

    def named_come(self, place, number):
        Named.objects.bulk_create(
            [Named(code=f"n{n}", value=place) for n in range(number)], ignore_conflicts=True
        )

    def named_change(self, place, number):
        Named.objects.filter(code__gt=f"n{number}").update(value=place)

    def named_go(self, place, number):
        Named.objects.filter(code=f"n{number}").delete()

    def raw(self, place, number):
        with connection.cursor() as cursor:
            cursor.execute("UPDATE shapes_message SET text = text || %s", [str(number)])

    def bulk(self, place, number):
        Message.objects.bulk_create(
            Message(room_id=self.rooms[n % ROOMS], text="b") for n in range(number)
        )

    def rolled_back(self, place, number):
        try:
            with transaction.atomic():
                Message.objects.update(text="never")
                self.create(place, number)
                raise Undo
        except Undo:
            pass

    def half_rolled_back(self, place, number):
        with transaction.atomic():
            self.create(place, number)
            self.rolled_back(place, number)

    def clear_room(self, place, number):
        Room.objects.filter(pk=self.rooms[number % ROOMS]).delete()
        self.rooms[number % ROOMS] = Room.objects.create(name="again").pk


WRITES = [
    name for name in vars(Writer) if not name.startswith("_") and name not in ("message", "write")
]


class Reader:
    """A client that can stall (it takes nothing and acknowledges nothing), drop and resume."""

    def __init__(self, writer, places, window):
        self.rooms = [writer.rooms[place] for place in places]
        self.window = window
        self.client = None
        self.rows = {}
        self.cursors = {}
        self.counted = 0
        self.reading = asyncio.Event()

    def route(self):
        return {"kwargs": {"rooms": "-".join(map(str, self.rooms))}}

    async def connect(self):
        if self.client is not None:
            return
        self.client = Client(Demultiplexer, url_route=self.route())
        self.client.rows = self.rows
        self.client.cursors = self.cursors
        await self.client.__aenter__()
        for stream in ("message", "named"):
            options = {"window": self.window} if self.window else {}
            if stream in self.cursors:
                options["cursor"] = self.cursors[stream]
            await self.client.subscribe(stream, **options)
            self.check()
        self.reading.set()
        self.task = asyncio.create_task(self.read())

    async def read(self):
        while True:
            await self.reading.wait()
            await self.client.receive()
            self.check()

    def check(self):
        counter = self.rows.get("named", {}).get("counter", {"value": 0})["value"]
        assert counter >= self.counted, f"{self.counted} shrank to {counter}"
        self.counted = counter

    async def drop(self):
        if self.client is None:
            return
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.client.__aexit__()
        self.client = None

    async def stall(self):
        self.reading.clear()

    async def go_on(self):
        self.reading.set()

    async def converge(self):
        """Go on until the copy is what the database says."""
        await self.connect()
        self.reading.set()
        messages, named = await in_database(self.truth)()
        try:
            async with asyncio.timeout(PATIENCE):
                while self.rows["message"] != messages or self.rows["named"] != named:
                    if self.task.done():
                        self.task.result()
                    await asyncio.sleep(0.002)
        except TimeoutError:
            raise AssertionError(f"{self.rows} is not {messages} {named}") from None
        await self.drop()

    def truth(self):
        seen = [
            message
            for message in Message.objects.all()
            if {f"room-{room}" for room in self.rooms} & set(MessageBinding.group_names(message))
        ]
        messages = {
            message.pk: {
                "room": message.room_id,
                "text": message.text,
                "hidden": message.hidden,
                "tags": [tag.pk for tag in message.tags.all()],
            }
            for message in seen
        }
        return messages, {row.code: {"value": row.value} for row in Named.objects.all()}


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("write"), st.sampled_from(WRITES), st.integers(0, MESSAGES), st.integers(0, 5)
        ),
        st.tuples(
            st.sampled_from(["connect", "drop", "stall", "go_on", "connect"]),
            st.integers(0, len(CLIENTS) - 1),
        ),
        st.just(("settle",)),
    ),
    max_size=30,
)


async def run(program, window):
    writer = await in_database(Writer)()
    readers = [Reader(writer, places, window) for places in CLIENTS]
    # Rooms may be made anew by the program; readers follow the rooms of the beginning.
    for reader in readers[:3]:
        await reader.connect()
    for step in program:
        match step:
            case ("write", kind, place, number):
                await in_database(writer.write)(kind, place, number)
            case ("settle",):
                await asyncio.sleep(0.02)
            case (action, which):
                await getattr(readers[which], action)()
    for reader in readers:
        await reader.converge()


PROGRAMS = settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    print_blob=True,
)


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"KEY_LIMIT": 3, "BATCH_LIMIT": 2, "SNAPSHOT_CHUNK": 1},
        {"GROUP_LIMIT": 1, "KEY_LIMIT": 4, "SNAPSHOT_CHUNK": 2},
    ],
    ids=["defaults", "tight limits", "paged groups"],
)
def test_every_copy_ends_as_the_database(limits, transactional_db):
    """After any program of writes and interruptions every client holds what the database holds."""

    @PROGRAMS
    @given(program=steps, window=st.sampled_from([None, 1, 3]))
    def converges(program, window):
        note(f"{len(program)} steps")
        with override_settings(DATABINDING=limits):
            asyncio.run(run(program, window))

    converges()
