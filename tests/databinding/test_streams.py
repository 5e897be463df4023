"""What subscribers of a stream get, from the statement to the frame."""

import asyncio
import json
import re
import threading

import pytest
from channels.db import database_sync_to_async as in_database
from django.db import connection, transaction
from django.db.models import F
from django.test import override_settings

from databinding import form
from databinding.conf import settings as conf
from databinding.hub import Hub
from databinding.journal import open_journal
from databinding.relay import relay_for, stop_relays
from tests.databinding.clients import PATIENCE, Client
from tests.databinding.programs import other_program
from tests.shapes.bindings import Demultiplexer as Shapes
from tests.shapes.bindings import NamedBinding
from tests.shapes.models import Message, Named, Room
from tests.talk.bindings import Demultiplexer
from tests.talk.models import IntegerValue

pytestmark = pytest.mark.django_db(transaction=True)


def rows():
    return {row.pk: {"name": row.name, "value": row.value} for row in IntegerValue.objects.all()}


async def ends_equal(client):
    await client.until("intval", await in_database(rows)())


@in_database
def create(*names, value=0):
    return [IntegerValue.objects.create(name=name, value=value).pk for name in names]


async def test_a_snapshot_then_each_change():
    """A subscriber gets the rows as they are, then what becomes of them."""
    (pk,) = await create("a", value=1)
    async with Client(Demultiplexer) as client:
        assert await client.subscribe("intval") is False
        assert client.rows["intval"] == {pk: {"name": "a", "value": 1}}
        (other,) = await create("b")
        await ends_equal(client)
        await in_database(IntegerValue.objects.filter(pk=pk).update)(value=5)
        await ends_equal(client)
        await in_database(IntegerValue.objects.filter(pk=pk).delete)()
        await client.until("intval", {other: {"name": "b", "value": 0}})
    actions = [
        event["action"]
        for frame in client.frames
        if frame["payload"]["action"] == "batch"
        for event in frame["payload"]["events"]
    ]
    assert actions == ["create", "update", "delete"]


WRITES = {
    "save": lambda: IntegerValue(name="n").save(),
    "update()": lambda: IntegerValue.objects.update(value=F("value") + 7),
    "F() in save": lambda: save_with_f(),
    "update_fields": lambda: save_part(),
    "a stale instance": lambda: save_stale(),
    "a string in the instance": lambda: save_string(),
    "bulk_create": lambda: IntegerValue.objects.bulk_create(
        [IntegerValue(name=f"n{i}") for i in range(30)]
    ),
    "bulk_create, conflicts ignored": lambda: IntegerValue.objects.bulk_create(
        [IntegerValue(name="a", value=99), IntegerValue(name="new")], ignore_conflicts=True
    ),
    "bulk_create, conflicts updated": lambda: IntegerValue.objects.bulk_create(
        [IntegerValue(name="a", value=99)],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["value"],
    ),
    "bulk_update": lambda: bulk_update(),
    "queryset delete": lambda: IntegerValue.objects.filter(name="a").delete(),
    "_raw_delete": lambda: IntegerValue.objects.all()._raw_delete("default"),
    "raw SQL": lambda: connection.cursor().execute("UPDATE talk_integervalue SET value = 77"),
    "another program": lambda: other_program("UPDATE talk_integervalue SET value = 78"),
    "another program's delete": lambda: other_program("DELETE FROM talk_integervalue"),
    "a changed primary key": lambda: IntegerValue.objects.filter(name="a").update(id=4711),
    "many writes of one row": lambda: many_writes(),
}


def save_with_f():
    row = IntegerValue.objects.get(name="a")
    row.value = F("value") + 100
    row.save()


def save_part():
    row = IntegerValue.objects.get(name="a")
    row.name, row.value = "not written", 31
    row.save(update_fields=["value"])


def save_stale():
    stale = IntegerValue.objects.get(name="a")
    IntegerValue.objects.filter(name="a").update(value=50)
    stale.name = "renamed"
    stale.save(update_fields=["name"])


def save_string():
    row = IntegerValue.objects.get(name="a")
    row.value = "41"
    row.save()


def bulk_update():
    found = list(IntegerValue.objects.all())
    for row in found:
        row.value = F("value") - 1
    IntegerValue.objects.bulk_update(found, ["value"])


def many_writes():
    row = IntegerValue.objects.get(name="a")
    for value in range(50):
        row.value = value
        row.save()


@pytest.mark.parametrize("write", WRITES)
async def test_however_it_is_written(write):
    """After any kind of write a subscriber holds what the database holds."""
    await create("a", "b", value=1)
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        before = dict(client.rows["intval"])
        await in_database(WRITES[write])()
        await ends_equal(client)
        assert client.rows["intval"] != before


async def test_what_is_rolled_back_is_never_sent():
    """A transaction or savepoint that is rolled back sends nothing, what surrounds it does."""

    def work():
        class Undo(Exception):
            pass

        try:
            with transaction.atomic():
                IntegerValue.objects.create(name="undone")
                raise Undo
        except Undo:
            pass
        with transaction.atomic():
            IntegerValue.objects.create(name="kept")
            try:
                with transaction.atomic():
                    IntegerValue.objects.create(name="undone too")
                    IntegerValue.objects.filter(name="kept").update(value=99)
                    raise Undo
            except Undo:
                pass
        IntegerValue.objects.create(name="last")

    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        await in_database(work)()
        await ends_equal(client)
    text = json.dumps(client.frames)
    assert "kept" in text
    assert "undone" not in text
    assert "99" not in [str(e.get("data", {}).get("value")) for e in events(client)]


def events(client):
    return [event for frame in client.frames for event in frame["payload"].get("events", ())]


async def test_what_commits_together_arrives_together():
    """A transaction's rows come in one batch, each once."""

    def work():
        with transaction.atomic():
            for name in "abc":
                IntegerValue.objects.create(name=name)
            IntegerValue.objects.update(value=3)

    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        await in_database(work)()
        frame = await client.receive()
    assert [event["data"]["value"] for event in frame["payload"]["events"]] == [3, 3, 3]


async def test_an_unchanged_row_is_not_sent():
    """A save that changes nothing that the binding shows is no frame."""
    (pk,) = await create("a")
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        await in_database(lambda: IntegerValue.objects.get(pk=pk).save())()
        assert await client.nothing_comes()


async def test_rows_move_between_groups():
    """A row that enters a group is a create there, one that leaves is a delete."""
    one, two = await in_database(lambda: [Room.objects.create(name=n) for n in ("1", "2")])()
    first = Client(Shapes, url_route={"kwargs": {"rooms": str(one.pk)}})
    second = Client(Shapes, url_route={"kwargs": {"rooms": str(two.pk)}})
    both = Client(Shapes, url_route={"kwargs": {"rooms": f"{one.pk}-{two.pk}"}})
    async with first, second, both:
        for client in (first, second, both):
            await client.subscribe("message")
        message = await in_database(Message.objects.create)(room=one, text="x")
        data = {"room": one.pk, "text": "x", "hidden": False, "tags": []}
        await first.until("message", {message.pk: data})
        await both.until("message", {message.pk: data})
        await in_database(Message.objects.update)(room=two)
        data["room"] = two.pk
        await second.until("message", {message.pk: data})
        await first.until("message", {})
        await both.until("message", {message.pk: data})
        await in_database(Message.objects.update)(hidden=True)
        await second.until("message", {})
        await both.until("message", {})
    assert [event["action"] for event in events(both)] == ["create", "update", "delete"]
    assert [event["action"] for event in events(second)] == ["create", "delete"]


async def test_a_cascade_deletes_live():
    """What a foreign key's cascade deletes leaves its subscribers."""
    room = await in_database(Room.objects.create)(name="1")
    await in_database(Message.objects.create)(room=room, text="x")
    async with Client(Shapes, url_route={"kwargs": {"rooms": str(room.pk)}}) as client:
        await client.subscribe("message")
        assert len(client.rows["message"]) == 1
        await in_database(room.delete)()
        await client.until("message", {})


async def test_resume_brings_exactly_what_was_missed():
    """With its cursor a client gets the batch since then, and no snapshot."""
    kept, changed, gone = await create("kept", "changed", "gone")
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        held, cursor = client.rows["intval"], client.cursors["intval"]

    def work():
        IntegerValue.objects.filter(pk=changed).update(value=9)
        IntegerValue.objects.filter(pk=gone).delete()
        IntegerValue.objects.create(name="new")

    await in_database(work)()
    async with Client(Demultiplexer) as client:
        client.copies["intval"].rows = held
        assert await client.subscribe("intval", cursor=cursor) is True
        assert client.rows["intval"] == await in_database(rows)()
        batch = client.frames[-1]["payload"]
        assert kept not in {event["pk"] for event in batch["events"]}
        again = client.cursors["intval"]
    async with Client(Demultiplexer) as client:
        assert await client.subscribe("intval", cursor=again) is True
        assert client.frames[-1]["payload"]["events"] == []


async def test_a_new_version_of_a_binding_honours_no_cursor_of_the_old_one(monkeypatch):
    """A page that outlives a deployment shows its rows as the new code makes them."""
    await in_database(Named.objects.create)(code="a", value=1)
    async with Client(Shapes) as client:
        await client.subscribe("named")
        held, cursor = client.rows["named"], client.cursors["named"]
    await asyncio.to_thread(stop_relays)
    form._versions.clear()
    monkeypatch.setattr(NamedBinding, "serialize_data", lambda self, row: {"value": 2 * row.value})
    async with Client(Shapes) as client:
        client.copies["named"].rows = held
        await client.subscribe("named", cursor=cursor)
        assert client.rows["named"] == {"a": {"value": 2}}
    monkeypatch.undo()
    form._versions.clear()


async def test_resume_names_no_strangers():
    """Where groups depend on the row, a resumed batch says what to keep and names nobody else."""
    one, two = await in_database(lambda: [Room.objects.create(name=n) for n in ("1", "2")])()
    stays = await in_database(Message.objects.create)(room=one, text="stays")
    leaves = await in_database(Message.objects.create)(room=one, text="leaves")
    route = {"kwargs": {"rooms": str(one.pk)}}
    async with Client(Shapes, url_route=route) as client:
        await client.subscribe("message")
        held, cursor = client.rows["message"], client.cursors["message"]
    await in_database(Message.objects.filter(pk=leaves.pk).update)(room=two)
    stranger = await in_database(Message.objects.create)(room=two, text="stranger")
    async with Client(Shapes, url_route=route) as client:
        client.copies["message"].rows = held
        assert await client.subscribe("message", cursor=cursor) is True
        assert client.rows["message"].keys() == {stays.pk}
        payload = client.frames[-1]["payload"]
        assert payload["keep"] == [stays.pk]
        assert str(stranger.pk) not in json.dumps(payload["events"])


@pytest.mark.parametrize("fault", ["forged", "of another stream", "nonsense", "pruned", "old form"])
async def test_a_cursor_that_is_not_honoured_gets_a_snapshot(fault, monkeypatch):
    """A forged, foreign, pruned or outdated cursor leads to a snapshot, marked as such."""
    await create("a")
    async with Client(Demultiplexer) as client, Client(Shapes) as other:
        await client.subscribe("intval")
        await other.subscribe("named")
        cursor = client.cursors["intval"]
        foreign = other.cursors["named"]
    await create("b")
    if fault == "forged":
        head, signature = cursor.rsplit(":", 1)
        epoch, audience, number, tag, snapshot = head.split(".")
        cursor = f"{epoch}.{audience}.{int(number) - 1}.{tag}.{snapshot}:{signature}"
    elif fault == "of another stream":
        cursor = foreign
    elif fault == "nonsense":
        cursor = "x" * 50
    elif fault == "pruned":
        await in_database(prune_all)()
    else:
        monkeypatch.setattr(
            "tests.talk.bindings.IntegerValueBinding.fields", ["name"], raising=True
        )
        await asyncio.to_thread(relay_for("default").stop)
    async with Client(Demultiplexer) as client:
        assert await client.subscribe("intval", cursor=cursor) is False
        assert len(client.rows["intval"]) == 2


def prune_all():
    from databinding.journal import open_journal

    journal = open_journal("default")
    journal.prune(0.000001)
    journal.prune(0.000001)


async def test_a_foreign_epoch_gets_a_snapshot_and_live_pages_are_refreshed():
    """A new epoch voids cursors; who is connected gets just the difference."""
    from databinding.journal import open_journal

    await create("a")
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        cursor = client.cursors["intval"]

        def restore():
            with transaction.atomic(), connection.cursor() as executing:
                executing.execute("UPDATE talk_integervalue SET value = 3")
                executing.execute("DELETE FROM databinding_journal")
            open_journal("default").new_epoch()

        await in_database(restore)()
        await ends_equal(client)
        assert all(frame["payload"]["action"] != "snapshot" for frame in client.frames[2:])
    async with Client(Demultiplexer) as client:
        assert await client.subscribe("intval", cursor=cursor) is False


async def test_more_keys_than_the_limit_are_asked_anew():
    """More changed keys than the limit don't get lost: the rows are compared instead."""
    await create(*(f"n{i}" for i in range(20)))
    with override_settings(DATABINDING={"KEY_LIMIT": 5}):
        async with Client(Demultiplexer) as client:
            await client.subscribe("intval")
            await in_database(IntegerValue.objects.update)(value=1)
            await ends_equal(client)
            await in_database(IntegerValue.objects.filter(value=1).delete)()
            await ends_equal(client)


async def test_a_difference_too_large_for_a_batch_is_a_snapshot():
    """More events than one batch may hold come as a snapshot in chunks."""
    with override_settings(DATABINDING={"BATCH_LIMIT": 5, "SNAPSHOT_CHUNK": 4}):
        async with Client(Demultiplexer) as client:
            await client.subscribe("intval")
            await in_database(
                lambda: IntegerValue.objects.bulk_create(
                    IntegerValue(name=f"n{i}") for i in range(10)
                )
            )()
            await ends_equal(client)
    payloads = [f["payload"] for f in client.frames if f["payload"]["action"] == "snapshot"]
    assert [payload["complete"] for payload in payloads] == [True, False, False, True]


async def test_a_large_group_is_paged_and_live():
    """A constant group over the limit is not held in memory; pages see it all the same."""
    await create(*(f"n{i}" for i in range(25)))
    with override_settings(DATABINDING={"GROUP_LIMIT": 10, "SNAPSHOT_CHUNK": 4}):
        async with Client(Demultiplexer) as client, Client(Demultiplexer) as second:
            await client.subscribe("intval")
            held = relay_for("default").holdings.rows
            assert [len(rows.fragments) for rows in held.values()] == [0]
            await ends_equal(client)
            await second.subscribe("intval", window=2)
            await in_database(IntegerValue.objects.filter(name="n3").update)(value=8)
            await in_database(IntegerValue.objects.filter(name="n4").delete)()
            await create("new")
            await ends_equal(client)
            await ends_equal(second)
            held, cursor = client.rows["intval"], client.cursors["intval"]
        await in_database(IntegerValue.objects.filter(name="n5").delete)()
        await in_database(IntegerValue.objects.filter(name="n6").update)(value=2)
        async with Client(Demultiplexer) as client:
            client.copies["intval"].rows = held
            assert await client.subscribe("intval", cursor=cursor) is True
            await ends_equal(client)


async def test_a_paged_snapshots_cursor_covers_no_more_than_its_first_page(monkeypatch):
    """What changes in a page that was sent already is in what its client resumes with."""
    from databinding import reading

    first, *_ = await create(*(f"n{i}" for i in range(8)))
    page = reading.Reader.page

    def page_while_somebody_writes(self, binding, after, size):
        if after == first + 2:
            other_program(f"UPDATE talk_integervalue SET value = 5 WHERE id = {first}")
        return page(self, binding, after, size)

    monkeypatch.setattr(reading.Reader, "page", page_while_somebody_writes)
    with override_settings(DATABINDING={"GROUP_LIMIT": 1, "SNAPSHOT_CHUNK": 3}):
        async with Client(Demultiplexer) as client:
            await client.subscribe("intval")
            held, cursor = client.rows["intval"], client.cursors["intval"]
        assert held[first]["value"] == 0
        async with Client(Demultiplexer) as client:
            client.copies["intval"].rows = held
            assert await client.subscribe("intval", cursor=cursor) is True
            await ends_equal(client)


async def test_a_client_that_does_not_acknowledge_gets_the_latest_states():
    """With its window closed a client gets nothing more; opened, only what is then."""
    (pk,) = await create("a")
    async with Client(Demultiplexer) as client:
        await client.ask("intval", "subscribe", window=2)
        await in_database(IntegerValue.objects.update)(value=1)
        while len([f for f in client.frames if "cursor" in f]) < 2:
            await client.receive()
        for value in range(2, 31):
            await in_database(IntegerValue.objects.update)(value=value)
        # A pass that began after the last write: the latest state is known by now.
        await asyncio.wrap_future(relay_for("default").submit(lambda this: None))
        assert await client.nothing_comes()
        await client.send("intval", "ack", frames=2)
        await client.until("intval", {pk: {"name": "a", "value": 30}})
        assert len([f for f in client.frames if "cursor" in f]) == 3


async def test_a_quiet_stream_gets_fresh_cursors():
    """Where nothing happens to a stream, an empty batch brings a cursor that stays resumable."""
    with override_settings(DATABINDING={"CURSOR_INTERVAL": 0.05}):
        async with Client(Demultiplexer) as client:
            await client.subscribe("intval")
            before = client.cursors["intval"]
            await in_database(Named.objects.create)(code="elsewhere")
            frame = await client.receive()
            assert frame["payload"] == {"action": "batch", "events": []}
            assert client.cursors["intval"] != before
            assert await client.nothing_comes()


def as_it_is_rendered(monkeypatch, work):
    """Have user code do this with each row before it says what is sent of it."""
    from tests.talk.bindings import IntegerValueBinding

    whole = IntegerValueBinding.serialize_data

    def serialize_data(self, instance):
        work(instance)
        return whole(self, instance)

    monkeypatch.setattr(IntegerValueBinding, "serialize_data", serialize_data)


async def test_a_row_that_cannot_be_rendered_stays_as_it_was(monkeypatch, caplog):
    """User code that raises for one row leaves that row as it was, and the stream goes on."""

    def fail(instance):
        if instance.name == "broken" and instance.value == 13:
            raise RuntimeError("unlucky")

    broken, fine = await create("broken", "fine")
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        as_it_is_rendered(monkeypatch, fail)
        await in_database(IntegerValue.objects.update)(value=13)
        await client.until(
            "intval",
            {broken: {"name": "broken", "value": 0}, fine: {"name": "fine", "value": 13}},
        )
        assert f"row {broken} can't be rendered" in caplog.text
        await in_database(IntegerValue.objects.update)(value=14)
        await ends_equal(client)


async def test_a_binding_writes_nothing_where_it_is_read(monkeypatch, caplog):
    """User code that would write a row as it says what is sent of it is a fault of that row's, and
    no page misses what others write."""

    def count(instance):
        if instance.name == "counting":
            IntegerValue.objects.filter(pk=instance.pk).update(value=F("value") + 1)

    counting, fine = await create("counting", "fine")
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        with monkeypatch.context() as patched:
            as_it_is_rendered(patched, count)
            await in_database(IntegerValue.objects.update)(value=13)
            await client.until(
                "intval",
                {counting: {"name": "counting", "value": 0}, fine: {"name": "fine", "value": 13}},
            )
            assert re.search(f"row {counting} can't be (read|rendered)", caplog.text)
        await in_database(IntegerValue.objects.update)(value=14)
        await ends_equal(client)


async def test_a_database_that_goes_away_and_comes_back(monkeypatch):
    """While the database fails the relay goes on trying; then pages are current again."""
    from django.db import OperationalError

    await create("a")
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        journal = type(open_journal("default"))
        state = journal.state
        tried = threading.Event()

        def away(self):
            tried.set()
            raise OperationalError("gone")

        monkeypatch.setattr(journal, "state", away)
        await in_database(IntegerValue.objects.update)(value=5)
        assert await asyncio.to_thread(tried.wait, PATIENCE)
        with override_settings(DATABINDING={"DATABASE_TIMEOUT": 0.05}):
            async with Client(Demultiplexer) as second:
                reply = await second.ask("intval", "subscribe")
                assert reply["response_status"] == 503
        monkeypatch.setattr(journal, "state", state)
        await ends_equal(client)


async def test_the_relay_starts_with_the_first_subscriber_and_stops_after_the_last():
    """No thread runs for a process that nobody is connected to."""
    relay = relay_for("default")
    assert not relay.running
    with override_settings(DATABINDING={"LINGER": 0.05}):
        async with Client(Demultiplexer) as client:
            await client.subscribe("intval")
            assert relay.running
            await asyncio.sleep(0.3)
            assert relay.running
        async with asyncio.timeout(PATIENCE):
            while relay.running:  # noqa: ASYNC110  (a thread ends: there is no event to await)
                await asyncio.sleep(0.01)
        async with Client(Demultiplexer) as client:
            await client.subscribe("intval")
            await create("again")
            await ends_equal(client)


async def test_many_joiners_share_one_reading(monkeypatch):
    """The queries of a pass don't grow with the number of clients that join in it."""
    from databinding import reading

    await create("a", "b")
    calls = []
    read_all = reading.Reader.all
    monkeypatch.setattr(
        reading.Reader, "all", lambda *args: (calls.append(args), read_all(*args))[1]
    )
    async with Client(Demultiplexer) as first:
        await first.subscribe("intval")
        clients = [Client(Demultiplexer) for _ in range(50)]
        for client in clients:
            await client.__aenter__()
        await asyncio.gather(*(client.subscribe("intval") for client in clients))
        texts = {json.dumps(client.frames[-1]) for client in clients}
        for client in clients:
            await client.__aexit__()
    assert len(calls) == 1
    assert len(texts) == 1


def test_several_event_loops_of_one_process(transactional_db):
    """Clients in different event loops of one process get the same changes."""
    started = threading.Barrier(3)
    results = []

    async def client():
        async with Client(Demultiplexer) as client:
            await client.subscribe("intval")
            await asyncio.to_thread(started.wait, PATIENCE)
            while len(client.rows["intval"]) < 5:
                await client.receive()
            results.append(client.rows["intval"])

    threads = [threading.Thread(target=asyncio.run, args=(client(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    started.wait(PATIENCE)
    for number in range(5):
        IntegerValue.objects.create(name=f"n{number}")
    for thread in threads:
        thread.join(PATIENCE)
    assert results == [rows(), rows()]


async def test_a_loop_that_is_gone_is_forgotten():
    """An event loop that was closed under its connections doesn't disturb others."""
    relay = relay_for("default")
    async with Client(Demultiplexer) as client:
        await client.subscribe("intval")
        loop = asyncio.new_event_loop()
        gone = Hub(loop)
        relay.listen(gone)
        loop.close()
        await create("a")
        await ends_equal(client)
        assert gone.publish([]) is False


async def test_settings_are_read_live():
    """A setting counts from the moment it is set."""
    assert conf.KEY_LIMIT == 10_000
    with override_settings(DATABINDING={"KEY_LIMIT": 7}):
        assert conf.KEY_LIMIT == 7
    with pytest.raises(AttributeError, match="no setting 'NONSENSE'"):
        conf.NONSENSE  # noqa: B018
