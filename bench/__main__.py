"""`scripts/bench`: measurements, as JSON under bench/results/."""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

from playwright.async_api import async_playwright

from bench import connections, fanout, held, idle, latency, machine, rates, tiles
from bench.systems import SERVERS
from tests.postgresql import PostgreSQL
from tests.redis import Redis
from tests.servers import CHECKOUT, Server, environment

FILL = """
import django
django.setup()
from bench.latency import TILES
from values.models import IntegerValue
IntegerValue.objects.bulk_create(IntegerValue(name=f"tile{n}") for n in range(TILES))
"""

FILL_ROWS = """
import sys, django
django.setup()
from bench.frames import name_of
from bench.models import BoundValue, ObservedValue, PlainValue
from values.models import IntegerValue
rows = int(sys.argv[1])
for model in (BoundValue, ObservedValue, PlainValue, IntegerValue):
    model.objects.bulk_create(model(name=name_of(n, rows)) for n in range(rows))
"""

FILL_SESSIONS = """
import sys, django
django.setup()
from datetime import timedelta
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.utils import timezone
from bench.crowd import session_key
names = (f"user{n}" for n in range(int(sys.argv[1])))
users = User.objects.bulk_create(User(username=name, password="!") for name in names)
backend = "django.contrib.auth.backends.ModelBackend"
Session.objects.bulk_create(
    Session(
        session_key=session_key(n),
        session_data=Session.objects.encode({
            SESSION_KEY: str(user.pk),
            BACKEND_SESSION_KEY: backend,
            HASH_SESSION_KEY: user.get_session_auth_hash(),
        }),
        expire_date=timezone.now() + timedelta(days=1),
    )
    for n, user in enumerate(users)
)
"""


def program(database, *arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment(database, "bench.settings", SECRET_KEY="bench"),
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


async def in_browser(database, kind, quick):
    more = {"settings": "bench.settings", "application": "bench.asgi:application"}
    server = Server(kind, database, SECRET_KEY="bench", **more)
    server.environment = environment(database, "bench.settings", SECRET_KEY="bench")
    server.start()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=os.environ["CHROMIUM"], args=["--no-sandbox"]
        )
        context = await browser.new_context()
        try:
            return {
                "idle": await idle.measure(context, server, 5 if quick else 30),
                "commit_to_dom": await latency.measure(context, server, 30 if quick else 200),
            }
        finally:
            await browser.close()
            server.close()


class Bench:
    """The parts, each with the databases that it needs."""

    def __init__(self, folder, redis, quick):
        self.quick = quick
        # A look is one at the server of production.
        self.servers = SERVERS[:1] if quick else SERVERS
        self.folder = folder
        self.redis = redis
        self.database = str(Path(folder, "bench.sqlite3"))
        program(self.database, "manage.py", "migrate", "--verbosity", "0", "--run-syncdb")
        program(self.database, "-c", FILL)

    def template(self, rows):
        """A database with so many rows of each kind, to be copied."""
        path = str(Path(self.folder, f"{rows}.sqlite3"))
        if not os.path.exists(path):
            program(path, "manage.py", "migrate", "--verbosity", "0", "--run-syncdb")
            program(path, "-c", FILL_ROWS, str(rows))
        return path

    def served(self, measure, held, **options):
        return measure(self.template(held), self.folder, self.redis, **options)

    def fanout(self):
        """CPU of the server for each delivery, one event a frame, beside peers and limits."""
        found = {}
        for clients in (100,) if self.quick else (100, 500, 1000):
            # A delivery of theirs takes so long that a thousand of them show enough.
            sized = {"clients": clients, "events": 4 if self.quick else 6}
            sized |= {"rounds": 3 if self.quick else 5, "servers": self.servers}
            found[clients] = {
                "outside": self.served(fanout.measure, fanout.ROWS, outside=True, **sized),
                "inside": self.served(fanout.measure, fanout.ROWS, outside=False, **sized),
            }
        return found

    def rates(self):
        """Events at a steady pace from another process: latency, CPU, losses."""
        sized = {"clients": 50, "seconds": 1, "rounds": 1}
        if not self.quick:
            sized = {"clients": 500, "seconds": 8, "rounds": 3}
        return self.served(rates.measure, 2_000, servers=self.servers, **sized)

    def memory(self):
        """Memory of a connection, idle and busy."""
        clients = 100 if self.quick else 1000
        return self.served(connections.memory, 200, clients=clients, servers=self.servers)

    def handshakes(self):
        """CPU of a handshake, with and without a session, and of a subscription."""
        sized = {"clients": 50, "rounds": 1} if self.quick else {"clients": 500, "rounds": 5}
        program(self.template(20), "-c", FILL_SESSIONS, str(sized["clients"]))
        return self.served(connections.handshakes, 20, servers=self.servers, **sized)

    def storm(self):
        """A crowd that comes back at once."""
        clients = 200 if self.quick else 2000
        return self.served(connections.storm, 20, clients=clients, servers=self.servers)

    def joining(self):
        """A crowd that joins a large stream at once."""
        sized = {"clients": 500, "rows": 10_000, "rounds": 7}
        if self.quick:
            sized = {"clients": 50, "rows": 1_000, "rounds": 1}
        return self.served(connections.joining, sized["rows"], **sized)

    def held(self):
        """How long the event loop is held at most, by what."""
        sized = {"clients": 50, "rows": 1_000, "seconds": 1}
        if not self.quick:
            sized = {"clients": 500, "rows": 10_000, "seconds": 8}
        many = self.template(10 * sized["rows"])
        return held.measure(self.template(sized["rows"]), many, self.folder, self.redis, **sized)

    def deaf(self):
        """Clients that never read, among others."""
        sized = {"clients": 100, "seconds": 1 if self.quick else 10}
        return self.served(connections.deaf, 200, servers=self.servers, **sized)

    def processes(self):
        """1, 2 and 4 processes."""
        sized = {"clients": 40, "seconds": 1, "rounds": 1}
        if not self.quick:
            sized = {"clients": 1000, "seconds": 8, "rounds": 3}
        return self.served(connections.processes, 200, **sized)

    def browser(self):
        """From a commit to the page's DOM, in a real Chromium; CPU of idle pages."""
        return {
            kind: asyncio.run(in_browser(self.database, kind, self.quick)) for kind in self.servers
        }

    def tiles(self):
        """2,000 tiles, 500 changes a second: main thread, frames, heap, time to open."""
        sized = {"seconds": 600, "frames": 30, "rounds": 5}
        if self.quick:
            sized = {"seconds": 20, "frames": 5, "rounds": 2}
        template = self.template(tiles.TILES)
        return asyncio.run(tiles.in_chromium(template, self.folder, **sized))

    def writer(self):
        """What capture and the doorbell add to a write."""
        rounds = "3" if self.quick else "25"
        found = {"sqlite": json.loads(program(self.database, "-m", "bench.writer", rounds))}
        with PostgreSQL() as postgresql, patch.dict(os.environ, postgresql.environment()):
            program("app", "manage.py", "migrate", "--verbosity", "0", "--run-syncdb")
            found["postgresql"] = json.loads(program("app", "-m", "bench.writer", rounds))
        return found


PARTS = (
    "fanout",
    "rates",
    "memory",
    "handshakes",
    "storm",
    "joining",
    "held",
    "deaf",
    "processes",
    "browser",
    "tiles",
    "writer",
)


def main():
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"{part:12}{getattr(Bench, part).__doc__}" for part in PARTS),
    )
    parser.add_argument("--quick", action="store_true", help="small numbers, for a look")
    parser.add_argument("parts", nargs="*", metavar="PART", help="these alone (see below)")
    options = parser.parse_args()
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"no such part: {part}")
    result = {"machine": machine.described(), "measured": datetime.now(UTC).isoformat()}
    with tempfile.TemporaryDirectory() as folder, Redis() as redis:
        bench = Bench(folder, redis, options.quick)
        for part in options.parts or PARTS:
            began = time.monotonic()
            print(f"{part} …", end="", file=sys.stderr, flush=True)
            result[part] = getattr(bench, part)()
            print(f" {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    text = json.dumps(result, indent=2)
    print(text)
    if not options.quick:
        parts = "-".join(["", *options.parts])
        name = f"{result['measured'][:10]}-{result['machine']['commit']}{parts}.json"
        Path(CHECKOUT, "bench", "results", name).write_text(text + "\n")


if __name__ == "__main__":
    main()
