"""The convergence oracle on the tests' shapes, for as long as one likes: see scripts/soak.

python -m tests.soak [MINUTES] [OPTION…]
"""

import argparse
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tests.postgresql import PostgreSQL
from tests.redis import Redis

FAULTS = ("server", "writer", "redis", "postgresql")
#: The most that a fault lasts, in seconds.
LASTING = 3.0


def parse(arguments):
    parser = argparse.ArgumentParser(prog="scripts/soak")
    parser.add_argument("minutes", nargs="?", type=float, default=5)
    parser.add_argument("--seed", type=int, help="begin with this program")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="postgresql")
    parser.add_argument("--redis", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--clients", type=int, default=30)
    parser.add_argument("--steps", type=int, default=600, help="of each program")
    parser.add_argument("--attempts", type=int, default=10, help="to shrink one that fails")
    parser.add_argument(
        "--faults",
        default=",".join(FAULTS),
        help=f"any of {','.join(FAULTS)}, or none; connections are dropped anyway",
    )
    parser.add_argument(
        "--without",
        default="",
        metavar="WRITE,…",
        help="writes to leave out (truncate: its lock makes readers wait, which delays show)",
    )
    options = parser.parse_args(arguments)
    options.faults = [] if options.faults == "none" else options.faults.split(",")
    if unknown := set(options.faults) - set(FAULTS):
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    return options


class SomeServer:
    """One of the servers at a time, killed and started again."""

    def __init__(self, servers):
        self.servers = servers

    def kill(self):
        self.killed = random.choice(self.servers)
        self.killed.kill()

    def start(self):
        self.killed.start()


def soak(options):
    """Run it; return the report and what the servers said."""
    with ExitStack() as stack:
        postgresql = redis = None
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.oracle.settings"
        os.environ.pop("REDIS_URL", None)
        if options.database == "postgresql":
            postgresql = stack.enter_context(PostgreSQL())
            os.environ.update(postgresql.environment())
            database = "app"
        else:
            folder = tempfile.mkdtemp(prefix="soak-")
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            database = str(Path(folder, "db.sqlite3"))
            os.environ["DATABASE_URL"] = f"sqlite:///{database}"
        if options.redis:
            redis = stack.enter_context(Redis())
            os.environ.update(redis.environment())

        import django

        django.setup()
        from django.core.management import call_command

        from databinding import triggers
        from tests.oracle.shapes import shapes_oracle, shapes_server
        from tests.shapes import tables, watching, writes

        watching.register()

        call_command("migrate", run_syncdb=True, verbosity=0)
        tables.make()
        triggers.install("default")
        servers = [shapes_server(database) for _ in range(options.servers)]
        for server in servers:
            stack.callback(server.close)
            server.start()
        oracle = shapes_oracle(
            [server.websocket_url for server in servers],
            writes=[
                write
                for write in (*writes.WRITES, *writes.SLOW)
                if write.__name__ not in options.without.split(",")
            ],
            faults=list(chosen_faults(options.faults, servers, redis, postgresql)),
            writers=options.writers,
            clients=options.clients,
            kill_writers="writer" in options.faults,
            patience=60,
            say=say,
        )
        try:
            oracle.run(
                seconds=options.minutes * 60,
                steps=options.steps,
                seed=options.seed,
                attempts=options.attempts,
            )
        except KeyboardInterrupt:
            say("interrupted")
        return oracle.report, "".join(server.log() for server in servers)


def chosen_faults(names, servers, redis, postgresql):
    from databinding.testing import Fault

    if "server" in names:
        some = SomeServer(servers)
        yield Fault("server killed", some.kill, some.start, LASTING)
    if "redis" in names and redis:
        yield Fault("Redis killed", redis.crash, redis.start, LASTING)
        yield Fault("Redis paused", redis.pause, redis.resume, LASTING)
        yield Fault("Redis flushed", redis.flush, lambda: None)
    if "postgresql" in names and postgresql:
        yield Fault("PostgreSQL crashed", postgresql.crash, postgresql.start, LASTING)


def say(line):
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def main(arguments):
    options = parse(arguments)
    say(
        f"{options.minutes:g} minutes on {options.database}, "
        f"{'with' if options.redis else 'without'} Redis: {options.servers} servers, "
        f"{options.writers} writers, {options.clients} clients; "
        f"faults: {', '.join(options.faults) or 'none'}; load {os.getloadavg()[0]:.1f}"
    )
    report, log = soak(options)
    for violation in report.violations:
        print(violation)
    if report.violations:
        print("The servers said:", *log.splitlines()[-200:], sep="\n  ")
    # What a traceback ends with: the first line after it that isn't indented.
    raised = Counter(re.findall(r"^Traceback.*\n(?:[ \t].*\n)*(.*)", log, re.MULTILINE))
    print(f"{report}\ntracebacks   {raised.total()} in the servers' logs")
    for error, count in raised.most_common(10):
        print(f"             {count} times {error}")
    say(f"load {os.getloadavg()[0]:.1f}")
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
