"""A connection over its life: what becomes of rows, consumers and requests."""

import asyncio
import gc
import http
import time
import weakref

import pytest

from databinding.client import (
    ClosedError,
    DatabindingError,
    NotSentError,
    ProtocolError,
    RequestError,
    UnknownOutcomeError,
    connect,
)
from databinding.client.options import Delays
from tests.client.peer import PATIENCE, Peer, eventually, quick

A, B, C = {"value": 1}, {"value": 2}, {"value": 3}


# Rows and changes


async def test_rows_are_live_and_changes_lead_from_state_to_state():
    """The first change brings all rows, the next ones what became of them; rows show the same."""
    async with Peer() as peer, connect(peer.url) as live:
        ints = live.stream("intval")
        rows = ints.rows
        page = await peer.visitor()
        await page.subscribed()
        changes = aiter(ints)
        assert not ints.loaded
        await page.snapshot({1: A, 2: B}, "c1")
        first = await anext(changes)
        assert first.reset
        assert {event.pk: event.data for event in first.created} == {1: A, 2: B} == rows
        await page.batch({1: C, 3: A}, "c2", deletes=[2])
        second = await anext(changes)
        assert [(e.action, e.pk, e.data, e.before) for e in second] == [
            ("delete", 2, None, B),
            ("create", 3, A, None),
            ("update", 1, C, A),
        ]
        assert rows == {1: C, 3: A}
        assert ints.cursor == second.cursor == "c2"
        assert live.stream("intval") is ints


async def test_a_later_iteration_begins_with_the_rows_of_then():
    """Each iteration is by itself: one that begins late is given all rows first, too."""
    async with Peer() as peer, connect(peer.url) as live:
        ints = live.stream("intval")
        page = await peer.visitor()
        await page.subscribed()
        await page.snapshot({1: A}, "c1")
        await ints.ready()
        change = await anext(aiter(ints))
        assert change.reset
        assert [event.pk for event in change.created] == [1]


async def test_the_chunks_of_a_snapshot_are_shown_when_it_is_complete():
    """Until the last chunk rows are as they were; each chunk is acknowledged as it comes."""
    async with Peer() as peer, connect(peer.url, options=quick(window=1)) as live:
        ints = live.stream("intval", rows={9: C}, since="c0")
        page = await peer.visitor()
        assert (await page.subscribed())["cursor"] == "c0"
        await page.snapshot({1: A})
        assert await page.asked("ack") == {"action": "ack", "frames": 1}
        assert ints.rows == {9: C}
        await page.snapshot({2: B}, "c1")
        await ints.ready()
        assert ints.rows == {1: A, 2: B}


async def test_a_slow_consumer_is_given_the_latest_states_and_slows_the_server():
    """What it doesn't take is merged, and acknowledged only when its patience is over."""
    async with Peer() as peer, connect(peer.url, options=quick(window=2, patience=3600)) as live:
        ints = live.stream("intval")
        changes = aiter(ints)
        page = await peer.visitor()
        await page.subscribed()
        await page.snapshot({1: A}, "c1")
        await anext(changes)
        assert await page.asked("ack") == {"action": "ack", "frames": 1}
        await page.batch({1: B}, "c2")
        await page.batch({1: C}, "c3")
        await eventually(lambda: ints.rows == {1: C})
        # Had the frames been acknowledged, that would come before this.
        reply = asyncio.create_task(live.request("other", "list"))
        await page.reply(await page.asked("list", "other"), stream="other")
        await reply
        change = await anext(changes)
        assert [(event.data, event.before) for event in change.updated] == [(C, A)]
        assert await page.asked("ack") == {"action": "ack", "frames": 2}


async def test_an_impatient_acknowledgement_keeps_rows_fresh_behind_a_stuck_consumer():
    """A consumer that takes nothing holds a stream up for `patience` seconds, not for good."""
    async with Peer() as peer, connect(peer.url, options=quick(window=1, patience=0.05)) as live:
        ints = live.stream("intval")
        changes = aiter(ints)
        page = await peer.visitor()
        await page.subscribed()
        await page.snapshot({1: A}, "c1")
        assert await page.asked("ack") == {"action": "ack", "frames": 1}
        await page.batch({1: B}, "c2")
        assert await page.asked("ack") == {"action": "ack", "frames": 1}
        assert [event.data for event in (await anext(changes)).created] == [B]


async def test_a_consumer_may_ask_while_frames_wait_for_it():
    """A reply that comes after a full window of frames reaches a consumer that awaits it."""
    async with Peer() as peer, connect(peer.url, options=quick(window=1, patience=3600)) as live:
        ints = live.stream("intval")
        page = await peer.visitor()
        await page.subscribed()
        await page.snapshot({1: A}, "c1")
        async for change in ints:
            if change.reset:
                assert await page.asked("ack") == {"action": "ack", "frames": 1}
                await page.batch({1: B}, "c2")
                await eventually(lambda: ints.rows == {1: B})
                asking = asyncio.create_task(ints.update(1, C))
                # As a server does whose window is full: first there must be room for the effect.
                assert await page.asked("ack") == {"action": "ack", "frames": 1}
                asked = await page.asked("update")
                await page.batch({1: C}, "c3")
                assert await page.asked("ack") == {"action": "ack", "frames": 1}
                await page.reply(asked, data=C, pk=1)
                assert (await asking).data == C
                assert ints.rows == {1: C}
            else:
                assert [event.data for event in change] == [C]
                break


async def test_a_stream_from_a_cursor_alone_waits_for_its_consumer():
    """What happened since is told, not merged away: the server waits however long it takes."""
    options = quick(window=1, patience=0.01, ack_delay=0)
    async with Peer() as peer, connect(peer.url, options=options) as live:
        ints = live.stream("intval", since="c1")
        changes = aiter(ints)
        page = await peer.visitor()
        assert (await page.subscribed(resumed=True))["cursor"] == "c1"
        await page.batch({1: A}, "c2", deletes=[2])
        await ints.ready()
        await asyncio.sleep(0.1)  # many times its patience, in which no ack may be sent
        reply = asyncio.create_task(live.request("other", "list"))
        await page.reply(await page.asked("list", "other"), stream="other")
        await reply
        change = await anext(changes)
        assert [(event.action, event.pk) for event in change] == [("delete", 2), ("update", 1)]
        assert not change.reset
        assert not ints.loaded
        assert await page.asked("ack") == {"action": "ack", "frames": 1}


async def test_an_iteration_that_was_left_costs_nothing():
    """After `break` nothing is kept for the consumer, and frames are acknowledged as they come."""
    async with Peer() as peer, connect(peer.url, options=quick(window=1, patience=3600)) as live:
        ints = live.stream("intval")
        page = await peer.visitor()
        await page.subscribed()
        await page.snapshot({1: A}, "c1")
        async for _ in ints:
            break
        gc.collect()
        for number in range(3):
            assert await page.asked("ack") == {"action": "ack", "frames": 1}
            await page.batch({1: {"value": number}}, f"d{number}")
        await eventually(lambda: ints.rows == {1: {"value": 2}})
        assert not ints._iterations


# Connections


async def test_a_broken_connection_comes_back_and_resumes():
    """It subscribes anew with its cursor; consumers notice nothing but what they missed."""
    async with Peer() as peer, connect(peer.url, options=quick()) as live:
        ints = live.stream("intval", {"room": 7})
        changes = aiter(ints)
        page = await peer.visitor()
        assert (await page.subscribed())["room"] == 7
        await page.snapshot({1: A, 2: B}, "c1")
        await anext(changes)
        assert live.state == "live"
        await page.abort()
        again = await peer.visitor()
        asked = await again.subscribed(resumed=True)
        assert (asked["cursor"], asked["room"]) == ("c1", 7)
        await again.batch({1: C}, "c2", keep=[1])
        change = await anext(changes)
        assert [(event.action, event.pk) for event in change] == [("delete", 2), ("update", 1)]
        assert not change.reset
        assert change.keep is None
        assert ints.rows == {1: C}


async def test_what_a_connection_leaves_unfinished_is_forgotten_with_it():
    """Chunks of a snapshot and frames to acknowledge belong to the connection they came on."""
    options = quick(window=2, patience=3600, ack_delay=3600)
    async with Peer() as peer, connect(peer.url, options=options) as live:
        ints = live.stream("intval")
        changes = aiter(ints)
        page = await peer.visitor()
        await page.subscribed()
        await page.snapshot({1: A})
        await page.asked("ack")
        await page.abort()
        again = await peer.visitor()
        await again.subscribed()
        await again.snapshot({2: B}, "c1")
        await anext(changes)
        assert ints.rows == {2: B}
        assert await again.asked("ack") == {"action": "ack", "frames": 1}
        await again.batch({2: C}, "c2")
        await eventually(lambda: ints.rows == {2: C})
        await again.abort()
        third = await peer.visitor()
        await third.subscribed(resumed=True)
        await third.batch({2: A}, "c3")
        await eventually(lambda: ints.rows == {2: A})
        await anext(changes)
        assert await third.asked("ack") == {"action": "ack", "frames": 1}


async def test_what_comes_after_a_refused_resume_is_compared_with_what_was_held():
    """A snapshot on a later connection reaches consumers as the difference."""
    async with Peer() as peer, connect(peer.url, options=quick()) as live:
        ints = live.stream("intval")
        changes = aiter(ints)
        page = await peer.visitor()
        await page.subscribed()
        await page.snapshot({1: A, 2: B}, "c1")
        await anext(changes)
        await page.close(1012)
        again = await peer.visitor()
        await again.subscribed()
        await again.snapshot({2: B, 3: C}, "c2")
        change = await anext(changes)
        assert [(event.action, event.pk) for event in change] == [("delete", 1), ("create", 3)]


async def test_a_server_that_is_not_there_yet_is_waited_for(away):
    """Entering doesn't need a server; the stream begins when one comes."""
    async with connect(away.url, options=quick()) as live:
        ints = live.stream("intval")
        await eventually(lambda: live.status.reason is not None)
        assert live.state == "connecting"
        assert live.status.retry_at is not None
        async with away as peer:
            page = await peer.visitor()
            await page.subscribed()
            await page.snapshot({1: A}, "c1")
            await ints.ready()
            assert live.state == "live"


async def test_a_silent_connection_is_given_up():
    """When no ping is answered the connection is dropped and another one made."""
    options = quick(heartbeat_interval=0.01, heartbeat_timeout=2)
    async with Peer() as peer, connect(peer.url, options=options) as live:
        page = await peer.visitor()
        leaving = asyncio.create_task(page.left())
        await eventually(lambda: page.pings >= 3)
        assert live.latency is not None
        page.answers_pings = False
        await peer.visitor()
        assert await leaving is None


async def test_a_ping_that_was_not_answered_makes_no_later_round_trip_longer():
    """A server that can't write leaves a ping; the next answer is that of the next ping."""
    options = quick(heartbeat_interval=1, heartbeat_timeout=PATIENCE)
    async with Peer() as peer, connect(peer.url, options=options) as live:
        page = await peer.visitor()
        page.answers_pings = False
        leaving = asyncio.create_task(page.left())
        await eventually(lambda: page.pings == 1)
        first = time.monotonic()
        await page.send("other", {"action": "news"})
        await eventually(lambda: page.pings == 2)
        since_the_first = time.monotonic() - first
        await page.send_text("pong!")
        await eventually(lambda: live.latency is not None)
        assert live.latency < since_the_first
        await live.close()
        assert await leaving == 1000


async def test_a_program_that_stood_still_reads_what_came_meanwhile():
    """A program that holds its loop up for longer than the timeout keeps its connection."""
    options = quick(heartbeat_interval=0.01, heartbeat_timeout=1)
    async with Peer() as peer, connect(peer.url, options=options) as live:
        page = await peer.visitor()
        page.answers_pings = False
        leaving = asyncio.create_task(page.left())
        await eventually(lambda: page.pings == 1)
        await page.send_text("pong!")
        time.sleep(1.5)  # noqa: ASYNC251  (as a program that computes)
        await eventually(lambda: page.pings == 2)
        await page.send_text("pong!")
        assert peer.handshakes == 1
        await live.close()
        assert await leaving == 1000


async def test_other_frames_are_signs_of_life_too():
    """A connection on which frames come isn't dropped for a missing pong."""
    options = quick(heartbeat_interval=0.01, heartbeat_timeout=2 * PATIENCE)
    async with Peer() as peer, connect(peer.url, options=options) as live:
        page = await peer.visitor()
        page.answers_pings = False
        leaving = asyncio.create_task(page.left())
        while page.pings < 10:
            pings = page.pings
            await page.send("other", {"action": "news"})
            await eventually(lambda seen=pings: page.pings > seen)
        assert peer.handshakes == 1
        await live.close()
        assert await leaving == 1000


@pytest.mark.parametrize(("code", "says"), [(4401, "session is over"), (4403, "doesn't allow")])
async def test_a_server_that_closes_for_good_ends_everything(code, says):
    """Consumers, waiters and requests are told why; nobody connects again."""
    async with Peer() as peer, connect(peer.url, options=quick()) as live:
        ints = live.stream("intval")
        page = await peer.visitor()
        await page.subscribed()
        await page.snapshot({1: A}, "c1")
        changes = aiter(ints)
        await anext(changes)
        consuming = asyncio.create_task(anext(changes))
        await page.close(code)
        with pytest.raises(ClosedError, match=says) as caught:
            await consuming
        assert caught.value.code == code
        with pytest.raises(ClosedError):
            await ints.ready()
        with pytest.raises(NotSentError, match=says):
            await ints.update(1, B)
        with pytest.raises(ClosedError):
            await anext(aiter(live.stream("intval")))
        assert live.state == "closed"
        assert ints.rows == {1: A}
        assert peer.handshakes == 1


async def test_a_server_that_finds_us_too_fast_is_left_alone_for_longer():
    """After 4429 the next try is one of the penalty's, not of the ordinary backoff."""
    penalty = Delays(floor=1000, base=2000, cap=3000)
    async with Peer() as peer, connect(peer.url, options=quick(penalty=penalty)) as live:
        page = await peer.visitor()
        await page.close(4429)
        await eventually(lambda: live.state == "reconnecting")
        assert live.status.retry_at - live.status.since >= 900


def refuse(status, **headers):
    def answer(connection, request):
        response = connection.respond(http.HTTPStatus(status), "no")
        response.headers.update(headers)
        return response

    return answer


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_refused_handshake_is_final(status):
    """A client error of HTTP isn't tried again; the consumer gets it with its status."""
    async with Peer(answer=refuse(status)) as peer, connect(peer.url, options=quick()) as live:
        with pytest.raises(ClosedError, match=str(status)) as caught:
            await anext(aiter(live.stream("intval")))
        assert caught.value.code == status
        assert peer.handshakes == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_a_handshake_that_fails_for_now_is_tried_again(status):
    """A proxy without its server, or a server that is busy, is asked until it answers."""

    def answer(connection, request):
        return refuse(status)(connection, request) if peer.handshakes < 3 else None

    async with Peer(answer=answer) as peer, connect(peer.url, options=quick()) as live:
        ints = live.stream("intval")
        page = await peer.visitor()
        await page.subscribed()
        await page.snapshot({}, "c1")
        await ints.ready()
        assert peer.handshakes == 3


async def test_token_and_headers_go_into_the_handshake_and_nowhere_else():
    """The token is an Authorization header, not in the URL; a redirect doesn't get it."""
    seen = []

    def remember(connection, request):
        seen.append(request)
        return refuse(403)(connection, request)

    async with Peer(answer=remember) as elsewhere:

        def redirect(connection, request):
            seen.append(request)
            return refuse(302, Location=elsewhere.url)(connection, request)

        async with (
            Peer(answer=redirect) as peer,
            connect(peer.url, token="s3cret", headers={"Cookie": "a=b"}) as live,
        ):
            with pytest.raises(ClosedError, match="302"):
                await live.stream("intval").ready()
    (request,) = seen
    assert request.headers["Authorization"] == "Token s3cret"
    assert request.headers["Cookie"] == "a=b"
    assert "s3cret" not in request.path


async def test_a_server_that_speaks_something_else_is_refused():
    """A websocket without the subprotocol isn't talked to."""
    async with Peer(subprotocols=()) as peer, connect(peer.url) as live:
        with pytest.raises(ClosedError, match="no stream of databinding"):
            await live.stream("intval").ready()


@pytest.mark.parametrize("url", ["ftp://example.com/", "example.com/stream/", "ws:///stream/", ""])
async def test_what_is_no_url_raises_at_once(url):
    """A URL that can't be a websocket's raises ValueError."""
    with pytest.raises(ValueError, match="Not the URL of a websocket"):
        connect(url)


async def test_http_becomes_ws():
    """The address of a page serves, as in the JavaScript client."""
    async with Peer() as peer, connect(peer.url.replace("ws:", "http:")):
        await peer.visitor()


async def test_leaving_closes_the_connection_in_order_and_ends_consumers():
    """The server is told, loops end without an error, what waits fails unsent or unknown."""
    async with Peer() as peer:
        async with connect(peer.url) as live:
            ints = live.stream("intval")
            page = await peer.visitor()
            await page.subscribed()
            consuming = asyncio.create_task(anext(aiter(ints), "the end"))
            waiting = asyncio.create_task(ints.update(1, A))
            await page.asked("update")
            leaving = asyncio.create_task(page.left())
        assert await consuming == "the end"
        with pytest.raises(UnknownOutcomeError):
            await waiting
        with pytest.raises(NotSentError):
            await live.request("intval", "list")
        with pytest.raises(DatabindingError, match="closed"):
            await ints.ready()
        assert await leaving == 1000
        with pytest.raises(RuntimeError, match="once"):
            await live.__aenter__()


async def test_a_closed_connection_is_not_kept_in_memory():
    """Nothing holds on to a connection that was left."""
    async with Peer() as peer:
        async with connect(peer.url) as live:
            live.stream("intval")
            page = await peer.visitor()
            await page.subscribed()
        held = weakref.ref(live)
        del live
        gc.collect()
        assert held() is None


# Subscriptions


async def test_a_refused_stream_raises_and_may_be_asked_for_again():
    """The refusal reaches consumers with its status; the next `stream` tries anew."""
    async with Peer() as peer, connect(peer.url) as live:
        ints = live.stream("intval")
        page = await peer.visitor()
        await page.reply(await page.asked("subscribe"), 403, errors=["You may not."])
        with pytest.raises(RequestError, match="You may not") as caught:
            await anext(aiter(ints))
        assert (caught.value.status, caught.value.stream) == (403, "intval")
        with pytest.raises(RequestError):
            await ints.ready()
        assert ints.state == "refused"
        again = live.stream("intval")
        await page.subscribed()
        await page.snapshot({1: A}, "c1")
        await again.ready()
        assert again.rows == {1: A}


@pytest.mark.parametrize("status", [429, 503])
async def test_a_subscription_that_fails_for_now_is_tried_again(status):
    """Too many snapshots, or a database that is away, only take longer."""
    async with Peer() as peer, connect(peer.url, options=quick()) as live:
        ints = live.stream("intval")
        page = await peer.visitor()
        await page.reply(await page.asked("subscribe"), status, errors=["Later."])
        await page.subscribed()
        await page.snapshot({1: A}, "c1")
        await ints.ready()
        assert ints.rows == {1: A}


async def test_a_subscription_that_came_too_often_waits_as_long_as_it_is_told():
    """The server's `retry_after` goes before the client's own impatience."""
    async with Peer() as peer, connect(peer.url, options=quick()) as live:
        ints = live.stream("intval")
        page = await peer.visitor()
        asked = await page.asked("subscribe")
        await page.reply(asked, 429, errors=["Slowly."], retry_after=1)
        began = time.monotonic()
        await eventually(lambda: isinstance(ints.error, RequestError))
        assert ints.error.retry_after == 1
        await page.subscribed()
        assert time.monotonic() - began >= 0.9


async def test_after_a_malformed_frame_the_rows_are_asked_for_anew():
    """A frame that can't be applied makes a hole: nothing more of it counts, a snapshot comes."""
    async with Peer() as peer, connect(peer.url, options=quick()) as live:
        ints = live.stream("intval")
        changes = aiter(ints)
        page = await peer.visitor()
        await page.subscribed()
        await page.snapshot({1: A}, "c1")
        await anext(changes)
        await page.send("intval", {"action": "batch", "events": [{"pk": 1}]}, "c2")
        await page.batch({1: C}, "c3")
        asked = await page.asked("subscribe")
        assert "cursor" not in asked
        assert isinstance(ints.error, ProtocolError) or ints.state == "subscribing"
        await page.batch({1: C}, "c3")
        await page.reply(asked, data={"resumed": False})
        await page.snapshot({2: B}, "c4")
        change = await anext(changes)
        assert change.reset
        assert ints.rows == {2: B}


async def test_frames_that_are_none_disturb_nothing(caplog):
    """What can't be read, or belongs to nobody, is passed over."""
    async with Peer() as peer, connect(peer.url) as live:
        ints = live.stream("intval")
        page = await peer.visitor()
        await page.subscribed()
        for text in ("{", "[]", '{"stream": "intval"}', '{"stream": "x", "payload": {}}'):
            await page.send_text(text)
        await page.send("intval", {"action": "update", "request_id": 99, "response_status": 200})
        await page.snapshot({1: A}, "c1")
        await ints.ready()
        assert ints.rows == {1: A}
        assert peer.handshakes == 1
        assert "isn't JSON" in caplog.text


async def test_unsubscribing_ends_consumers_and_the_next_stream_is_another():
    """The rows stay as they are; the same name subscribed again begins anew."""
    async with Peer() as peer, connect(peer.url) as live:
        ints = live.stream("intval", {"room": 1})
        page = await peer.visitor()
        await page.subscribed()
        await page.snapshot({1: A}, "c1")
        changes = aiter(ints)
        await anext(changes)
        with pytest.raises(ValueError, match="other parameters"):
            live.stream("intval", {"room": 2})
        ending = asyncio.create_task(ints.unsubscribe())
        assert await anext(changes, "the end") == "the end"
        asked = await page.asked("unsubscribe")
        other = live.stream("intval", {"room": 2})
        subscribe = await page.asked("subscribe")
        await page.batch({1: C}, "c2")
        await page.reply(asked)
        await ending
        await page.reply(subscribe, data={"resumed": False})
        await page.snapshot({5: B}, "d1")
        await other.ready()
        assert (subscribe["room"], other.rows, ints.rows) == (2, {5: B}, {1: A})


@pytest.mark.parametrize("name", ["action", "cursor", "window", "request_id"])
async def test_words_of_the_protocol_are_no_parameters(name):
    """A parameter can't replace a key of `subscribe`."""
    with pytest.raises(ValueError, match=name):
        connect("ws://127.0.0.1:1/").stream("intval", {name: 1})


# Requests


async def test_a_request_that_lost_its_connection_has_an_unknown_outcome():
    """Sent and not answered: it isn't sent again, and whoever asked is told."""
    async with Peer() as peer, connect(peer.url, options=quick()) as live:
        page = await peer.visitor()
        asking = asyncio.create_task(live.request("intval", "create", {"data": A}))
        await page.asked("create")
        await page.abort()
        with pytest.raises(UnknownOutcomeError) as caught:
            await asking
        assert caught.value.stream == "intval"
        again = await peer.visitor()
        asking = asyncio.create_task(live.request("intval", "list"))
        await again.reply(await again.asked("list"), data=[])
        await asking


async def test_a_request_waits_for_a_connection_behind_the_subscriptions():
    """Made too early it is sent once there is a connection, after `subscribe`."""
    async with Peer() as peer, connect(peer.url) as live:
        ints = live.stream("intval")
        asking = asyncio.create_task(ints.create(A, idempotency_key="k"))
        page = await peer.visitor()
        await page.subscribed()
        asked = await page.asked("create")
        assert (asked["data"], asked["idempotency_key"]) == (A, "k")
        await page.reply(asked, 201, data=A, pk=7)
        assert (await asking).pk == 7


async def test_a_request_without_a_connection_fails_unsent(away):
    """After `send_timeout` it is given up, and not sent later either."""
    async with connect(away.url, options=quick(send_timeout=0.5)) as live:
        with pytest.raises(NotSentError, match="nothing was sent"):
            await live.request("intval", "create", {"data": A})
        async with away as peer:
            page = await peer.visitor()
            asking = asyncio.create_task(live.request("intval", "list"))
            await page.reply(await page.asked("list"))
            await asking


async def test_a_request_that_nobody_awaits_any_more_is_not_sent(away):
    """What is cancelled before there is a connection stays unsent."""
    async with connect(away.url, options=quick()) as live:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(live.request("intval", "create", {"data": A}), 0.01)
        asking = asyncio.create_task(live.request("intval", "list"))
        async with away as peer:
            page = await peer.visitor()
            await page.reply(await page.asked("list"), data=[])
            await asking


async def test_a_request_without_an_answer_is_given_up():
    """After `reply_timeout` its outcome is unknown; an answer that comes then is passed over."""
    async with Peer() as peer, connect(peer.url, options=quick(reply_timeout=0.5)) as live:
        page = await peer.visitor()
        with pytest.raises(UnknownOutcomeError, match="No answer"):
            await live.request("intval", "list")
        await page.reply(await page.asked("list"), 403, errors=["late"])
        asking = asyncio.create_task(live.request("intval", "list"))
        await page.reply(await page.asked("list"), data=[])
        assert (await asking).data == []


async def test_a_payload_that_is_no_json_harms_nobody():
    """It raises where it was asked; the connection and other requests go on."""
    async with Peer() as peer, connect(peer.url) as live:
        with pytest.raises(TypeError):
            await live.request("intval", "create", {"data": object()})
        with pytest.raises(ValueError, match="JSON"):
            await live.request("intval", "create", {"data": {"value": float("nan")}})
        page = await peer.visitor()
        asking = asyncio.create_task(live.request("intval", "list"))
        await page.reply(await page.asked("list"), data=[])
        assert (await asking).status == 200
        assert peer.handshakes == 1


async def test_errors_are_told_by_field():
    """Nested errors have dotted fields; what belongs to none is under the empty name."""
    errors = ["No.", {"value": ["Too much."], "inner": [{"x": ["Bad."]}], "non_field_errors": "?"}]
    error = RequestError({"response_status": 400, "errors": errors})
    assert error.fields == {"": ["No.", "?"], "value": ["Too much."], "inner.x": ["Bad."]}
    assert str(error) == "No. Too much. Bad. ?"
    assert str(RequestError({"response_status": 418})) == "The server answered 418."


async def test_what_the_server_takes_back():
    """A subscription that the server ends leaves no rows, and raises why."""
    async with Peer() as peer, connect(peer.url) as live:
        ints = live.stream("intval")
        page = await peer.visitor()
        await page.subscribed()
        await page.snapshot({1: A}, "c1")
        await ints.ready()
        assert ints.rows == {1: A}
        await page.snapshot({}, "void")
        ended = {"action": "unsubscribe", "request_id": None, "response_status": 403}
        await page.send("intval", {**ended, "errors": ["You may not."], "data": None})
        with pytest.raises(RequestError) as refused:
            async for _ in ints:
                pass
        assert refused.value.status == 403
        assert ints.rows == {}
        assert ints.state == "refused"


async def test_a_snapshot_that_the_server_breaks_off_is_forgotten():
    """Where rights change in the midst of a snapshot it is acknowledged, and nothing of it left."""
    async with Peer() as peer, connect(peer.url) as live:
        ints = live.stream("intval")
        page = await peer.visitor()
        asked = await page.subscribed()
        await page.snapshot({9: A})
        await page.reply(asked | {"request_id": None}, data={"resumed": False})
        await page.snapshot({1: B}, "c1")
        await ints.ready()
        assert ints.rows == {1: B}
        frames = 0
        while frames < 2:
            frames += (await page.asked("ack"))["frames"]
        assert frames == 2


async def test_a_create_that_lost_its_answer_is_sent_again_with_its_key():
    """It is stored once by that key, so whoever awaits it is answered after all."""
    async with Peer() as peer, connect(peer.url, options=quick()) as live:
        creating = asyncio.create_task(live.stream("intval").create(A))
        page = await peer.visitor()
        await page.subscribed()
        first = await page.asked("create")
        assert len(first["idempotency_key"]) == 36
        await page.abort()
        page = await peer.visitor()
        await page.subscribed()
        again = await page.asked("create")
        assert again["idempotency_key"] == first["idempotency_key"]
        await page.reply(again, 201, data=A, pk=7)
        assert (await creating).pk == 7


async def test_a_create_is_given_up_as_unknown(away):
    """Without any answer its outcome is unknown, also where there is no connection any more."""
    async with Peer() as peer, connect(peer.url, options=quick(reply_timeout=0.3)) as live:
        creating = asyncio.create_task(live.stream("intval").create(A, idempotency_key="k"))
        page = await peer.visitor()
        await page.subscribed()
        await page.asked("create")
        await page.close(4401)
        with pytest.raises(UnknownOutcomeError):
            await creating
    async with connect(away.url, options=quick(send_timeout=0.05)) as live:
        with pytest.raises(NotSentError):
            await live.stream("intval").create(A)
