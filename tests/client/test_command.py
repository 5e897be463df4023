"""`python -m databinding`, as a shell runs it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager

import pytest
from channels.db import database_sync_to_async as in_database
from django.contrib.auth.models import User
from django.test import Client as Browser

from tests.client.peer import Peer
from tests.servers import CHECKOUT, PATIENCE
from values.models import IntegerValue

#: Runs the command where these packages aren't installed.
WITHOUT = """
import runpy, sys

class Missing:
    def find_spec(self, name, *more):
        if name in {packages}:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Missing())
runpy.run_module("databinding", run_name="__main__", alter_sys=True)
"""


class Process:
    """A running command; `line` reads the next of its output."""

    def __init__(self, process):
        self.process = process

    async def line(self):
        async with asyncio.timeout(PATIENCE):
            return json.loads(await self.process.stdout.readline())

    async def ends(self):
        """Its exit status, and what it said on stderr."""
        async with asyncio.timeout(PATIENCE):
            said = await self.process.stderr.read()
            return await self.process.wait(), said.decode()


@asynccontextmanager
async def running(*arguments, environment=(), **options):
    """Run `python -m databinding …`; it is ended when this is left."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "databinding", *arguments),
        cwd=CHECKOUT,
        env=os.environ | dict(environment),
        stderr=subprocess.PIPE,
        **{"stdout": subprocess.PIPE} | options,
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process._transport.close()


async def run(*arguments, **options):
    """Run it to its end; its exit status, lines and what it said."""
    async with running(*arguments, **options) as ran:
        async with asyncio.timeout(PATIENCE):
            printed, said = await ran.process.communicate()
        lines = [json.loads(line) for line in printed.splitlines()]
        return ran.process.returncode, lines, said.decode()


A, B = {"value": 1}, {"value": 2}


def without(*packages):
    code = WITHOUT.format(packages=packages)
    line = [sys.executable, "-c", code, "--help"]
    return subprocess.run(line, capture_output=True, text=True, cwd=CHECKOUT)


def test_no_django_is_needed():
    """Where Django can't be imported the client can, and the command runs."""
    ran = without("django", "channels", "rest_framework", "asgiref")
    assert ran.returncode == 0, ran.stderr
    assert "tail" in ran.stdout


def test_what_is_missing_is_named():
    """Without websockets the command says what to install."""
    ran = without("websockets")
    assert ran.returncode == 1
    assert ran.stderr == (
        "This needs the package websockets: pip install django-databinding[client]\n"
    )


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_tail_survives_a_killed_server(kind, start_server, database):
    """Lines applied one after another give the rows, over the server's end; Ctrl-C ends it."""
    pump = await IntegerValue.objects.acreate(name="pump", value=1)
    server = await asyncio.to_thread(start_server, kind)
    url = f"{server.websocket_url}/stream/"
    async with running("tail", url, "intval") as tail:
        assert await tail.line() == {"action": "reset"}
        line = await tail.line()
        first = line.pop("cursor")
        assert line == {"action": "create", "pk": pump.pk, "data": {"name": "pump", "value": 1}}
        server.kill()
        await IntegerValue.objects.aupdate(value=2)
        new = await IntegerValue.objects.acreate(name="fan", value=3)
        await asyncio.to_thread(server.start)
        while (line := await tail.line())["action"] == "cursor":
            pass
        assert line == {"action": "create", "pk": new.pk, "data": {"name": "fan", "value": 3}}
        line = await tail.line()
        second = line.pop("cursor")
        assert line == {"action": "update", "pk": pump.pk, "data": {"name": "pump", "value": 2}}
        tail.process.send_signal(signal.SIGINT)
        status, said = await tail.ends()
    assert status == 130
    assert "Traceback" not in said
    assert said.count("connected.") == 2
    assert "trying again" in said

    await IntegerValue.objects.filter(pk=new.pk).adelete()
    async with running("tail", url, "intval", "--since", first) as tail:
        lines = [await tail.line(), await tail.line()]
        assert {(line["action"], line["pk"]) for line in lines} == {
            ("delete", new.pk),
            ("update", pump.pk),
        }
    async with running("tail", url, "intval", "--since", second) as tail:
        line = await tail.line()
        assert (line["action"], line["pk"], "data" in line) == ("delete", new.pk, False)


async def test_tail_tells_the_server_what_it_was_told():
    """Parameters, limit, window, cursor, headers and token reach the server; values are JSON."""
    async with Peer() as peer:
        options = [
            "--param",
            "room=7",
            "--param",
            "name=a=b",
            "--limit",
            "50",
            "--window",
            "3",
            "--since",
            "c1",
        ]
        options += ["--header", "Cookie: sessionid=x; a=b"]
        environment = {"DATABINDING_TOKEN": "s3cret"}
        async with running("tail", peer.url, "chat", *options, environment=environment) as tail:
            page = await peer.visitor()
            asked = await page.subscribed(resumed=True, stream="chat")
            del asked["request_id"]
            assert asked == {
                "action": "subscribe",
                "room": 7,
                "name": "a=b",
                "limit": 50,
                "window": 3,
                "cursor": "c1",
            }
            assert page.request.headers["Cookie"] == "sessionid=x; a=b"
            assert page.request.headers["Authorization"] == "Token s3cret"
            await page.batch({1: {"x": "ü"}}, "c2", keep=[1, 2], stream="chat")
            assert await tail.line() == {"action": "keep", "pks": [1, 2]}
            line = {"action": "update", "pk": 1, "data": {"x": "ü"}, "cursor": "c2"}
            assert await tail.line() == line
            await page.batch({}, "c3", stream="chat")
            assert await tail.line() == {"action": "cursor", "cursor": "c3"}


async def test_tail_ends_quietly_when_its_reader_goes():
    """A closed pipe ends it, though nothing comes that could be written."""
    async with Peer() as peer:
        reading, writing = os.pipe()
        async with running("tail", peer.url, "intval", stdout=writing) as tail:
            os.close(writing)
            page = await peer.visitor()
            await page.subscribed()
            await page.snapshot({1: A}, "c1")
            assert await asyncio.to_thread(os.read, reading, 1)
            leaving = asyncio.create_task(page.left())
            os.close(reading)
            status, said = await tail.ends()
            assert (status, said.count("\n")) == (0, 1), said
            assert await leaving == 1000


async def test_a_reader_that_stopped_holds_nothing_up():
    """While nobody reads its full pipe, tail answers the server, and Ctrl-C ends it."""
    async with Peer() as peer:
        reading, writing = os.pipe()
        async with running("tail", peer.url, "intval", "--window", "1", stdout=writing) as tail:
            os.close(writing)
            page = await peer.visitor()
            await page.subscribed()
            await page.snapshot({pk: {"text": "x" * 1000} for pk in range(1000)}, "c1")
            assert await page.asked("ack") == {"action": "ack", "frames": 1}
            for number in range(3):
                await page.batch({1: {"value": number}}, f"d{number}")
                assert await page.asked("ack") == {"action": "ack", "frames": 1}
            tail.process.send_signal(signal.SIGINT)
            status, said = await tail.ends()
            assert status == 130
            assert "Traceback" not in said
            os.close(reading)


async def test_tail_into_a_file(tmp_path):
    """A file takes lines as a pipe does."""
    with (tmp_path / "lines").open("wb") as file:
        async with Peer() as peer, running("tail", peer.url, "intval", stdout=file) as tail:
            page = await peer.visitor()
            await page.subscribed()
            await page.snapshot({1: A}, "c1")
            assert (await page.asked("ack"))["frames"] == 1
            tail.process.send_signal(signal.SIGINT)
            assert (await tail.ends())[0] == 130
    lines = (tmp_path / "lines").read_text().splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["reset", "create"]


async def test_tail_says_why_it_is_refused():
    """A refused subscription and a connection that is closed for good end with status 1."""
    async with Peer() as peer:
        async with running("tail", peer.url, "intval") as tail:
            page = await peer.visitor()
            await page.reply(await page.asked("subscribe"), 403, errors=["You may not."])
            status, said = await tail.ends()
            assert status == 1
            assert said.endswith("You may not.\n")
        async with running("tail", peer.url, "intval") as tail:
            page = await peer.visitor()
            await page.close(4401)
            status, said = await tail.ends()
            assert status == 1
            assert said.endswith("The session is over, or the token isn't good.\n")


async def test_set_changes_a_row(start_server, database, tmp_path):
    """It prints the reply, or says by field what was wrong; headers may stand in a file."""
    pump = await IntegerValue.objects.acreate(name="pump", value=1)
    browser = Browser()
    await in_database(lambda: browser.force_login(User.objects.create_superuser("ana")))()
    secrets = tmp_path / "headers"
    secrets.write_text(f"Cookie: sessionid={browser.cookies['sessionid'].value}\n\n")
    server = await asyncio.to_thread(start_server)
    line = ["set", f"{server.websocket_url}/stream/", "intval", str(pump.pk)]
    line += ["--header", f"@{secrets}"]
    assert await run(*line, "value=42", "name=left pump") == (
        0,
        [{"status": 200, "pk": pump.pk, "data": {"name": "left pump", "value": 42}}],
        "",
    )
    await pump.arefresh_from_db()
    assert (pump.name, pump.value) == ("left pump", 42)
    status, printed, said = await run(*line, "value=many", f"name={'x' * 1000}")
    assert (status, printed) == (1, [])
    assert sorted(part.split(":")[0] for part in said.splitlines()) == ["name", "value"]
    status, printed, said = await run(*line[:-2], "value=1")
    assert (status, printed, said) == (1, [], "Authentication credentials were not provided.\n")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42),
        ("4.5", 4.5),
        ("true", True),
        ("null", None),
        ('["a", 1]', ["a", 1]),
        ('"42"', "42"),
        ("a b", "a b"),
        ("a=b", "a=b"),
        ("", ""),
        ("NaN", "NaN"),
        ("1e999", "1e999"),
        ("[" * 100_000, "[" * 100_000),
    ],
    ids=lambda value: str(value)[:10],
)
async def test_values_are_json_where_they_are(text, value):
    """What can be read as JSON is sent as such, everything else as text."""
    async with Peer() as peer:
        setting = asyncio.create_task(run("set", peer.url, "intval", "a-key", f"field={text}"))
        page = await peer.visitor()
        asked = await page.asked("update")
        assert (asked["pk"], asked["data"]) == ("a-key", {"field": value})
        assert type(asked["data"]["field"]) is type(value)
        await page.reply(asked)
        status, (line,), _ = await setting
        assert (status, line) == (0, {"status": 200, "pk": None, "data": None})


async def test_set_tells_unsent_from_unknown(away):
    """Without a server nothing was sent; one that goes before its reply leaves it open."""
    async with Peer() as peer:
        setting = asyncio.create_task(run("set", peer.url, "intval", "1", "value=1"))
        page = await peer.visitor()
        assert (await page.asked("update"))["pk"] == 1
        await page.abort()
        status, printed, said = await setting
        assert (status, printed) == (4, [])
        assert "unknown whether it was applied" in said
    status, printed, said = await run("set", away.url, "intval", "1", "value=1")
    assert (status, printed) == (3, [])
    assert said.endswith("Not connected; nothing was sent.\n")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("", "tail | set"),
        ("tail", "URL, STREAM"),
        ("tail ftp://a/ s", "Not the URL of a websocket"),
        ("tail ws://a/ s --window 0", "--window"),
        ("tail ws://a/ s --limit many", "--limit"),
        ("tail ws://a/ s --param room", "NAME=VALUE"),
        ("tail ws://a/ s --param cursor=c", "no parameter of a stream"),
        ("tail ws://a/ s --header Cookie", "Name: value"),
        ("tail ws://a/ s --header @/not/there", "No such file"),
        ("set ws://a/ s 1", "FIELD=VALUE"),
        ("set ws://a/ s 1 =1", "NAME=VALUE"),
    ],
)
async def test_a_line_that_can_not_be_understood(line, complaint):
    """It exits with 2 and says what is wrong."""
    status, printed, said = await run(*line.split())
    assert (status, printed) == (2, [])
    assert complaint in said


async def test_the_token_may_be_in_a_file(tmp_path):
    """The file's token goes before the environment's; a file without one is refused."""
    file = tmp_path / "token"
    file.write_text("from-the-file\n")
    environment = {"DATABINDING_TOKEN": "s3cret"}
    async with Peer() as peer:
        arguments = ("tail", peer.url, "intval", "--token-file", str(file))
        async with running(*arguments, environment=environment):
            page = await peer.visitor()
            assert page.request.headers["Authorization"] == "Token from-the-file"
    file.write_text("two words")
    for path in (file, tmp_path / "missing"):
        status, lines, said = await run("tail", "ws://x/", "s", "--token-file", str(path))
        assert (status, lines) == (2, [])
        assert path.name in said
