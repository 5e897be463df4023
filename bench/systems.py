"""The servers that are measured side by side: each with a database of its own, pinned to a core."""

import contextlib
import os
import shutil
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.crowd import Crowd
from bench.frames import name_of
from bench.outside import Writer
from tests.servers import Server, environment

#: Servers have one core, whoever loads them the other.
SERVED, LOADING = (0, 1) if (psutil.cpu_count() or 1) > 1 else (None, None)
#: A frame that isn't acknowledged holds ours back: as our JavaScript client has it.
WINDOW = 8


SERVERS = ("uvicorn", "daphne")


@dataclass(frozen=True)
class Kind:
    """What is measured: `to` names it to the doors of `bench.asgi`."""

    server: str
    to: str
    layer: str | None = None
    #: Flow control, which none of the others has.
    acks: bool = False

    def __str__(self):
        acks = "acking" if self.acks else None
        return " ".join(filter(None, (self.to, acks, self.layer, "on", self.server)))

    @property
    def path(self):
        return f"/bench/{self.to}/"

    @property
    def subscribe(self):
        if self.to != "ours":
            return None
        return {"stream": "intval", "window": WINDOW if self.acks else None}


def on(servers, kinds):
    """Those kinds that one of these servers serves, or none does."""
    return [kind for kind in kinds if kind.server in servers or kind.server == "none"]


class System:
    """A server of one kind, running, with whoever writes to it and whoever hears of it."""

    def __init__(self, kind, template, folder, redis, *, processes=1):
        self.kind = kind
        self.value = 0
        self.writer = None
        self.crowd = None
        self.rows = 0
        database = str(Path(tempfile.mkdtemp(dir=folder), "bench.sqlite3"))
        shutil.copy(template, database)
        more = {"SECRET_KEY": "bench", "RUN_PERIODIC_JOBS": "off", "LOG_LEVEL": "WARNING"}
        if kind.layer == "redis":
            more |= redis.environment() | {"BENCH_PREFIX": Path(database).parent.name}
        elif kind.layer == "memory":
            more["BENCH_LAYER"] = "memory"
        self.environment = environment(database, "bench.settings", **more)
        if kind.to == "raw":
            self.server = RawServer()
        else:
            workers = ["--workers", str(processes)] if processes > 1 else []
            self.server = Server(
                kind.server,
                database,
                application="bench.asgi:application",
                arguments=[*workers, *quiet(kind.server)],
            )
            self.server.environment = self.server._environment = self.environment
        self.server.start()
        self.processes = [psutil.Process(self.server.process.pid)]
        if processes > 1:
            self.processes = workers_of(self.server.process.pid, processes)
        for process in self.processes:
            if SERVED is not None and processes == 1:
                os.sched_setaffinity(process.pid, {SERVED})
                for thread in process.threads():
                    with contextlib.suppress(ProcessLookupError):
                        os.sched_setaffinity(thread.id, {SERVED})

    def gather(self, count, **options):
        """So many clients, all of them current; return how long that took."""
        self.disperse()
        options.setdefault("subscribe", self.kind.subscribe)
        self.crowd = Crowd(self.server.port, self.kind.path, count, core=LOADING, **options)
        self.crowd.reset()
        return self.crowd.opened

    def disperse(self):
        if self.crowd is not None:
            self.crowd.close()
            self.crowd = None

    def cpu(self):
        """Seconds that the server's processes have worked, to the microsecond where there is it."""
        return sum(cpu_of(process) for process in self.processes)

    def memory(self):
        return sum(process.memory_info().rss for process in self.processes)

    # Writing

    def save_inside(self, rows):
        """One row, by a request to the server."""
        self.value += 1
        name = name_of(self.value, rows)
        self.get(f"/bench/save?name={name}&value={self.value}&to={self.kind.to}")

    def save_outside(self, rows, **options):
        """One row, by another process."""
        self.value += 1
        self.outside().write(self.kind.to, self.value, 1, rows)

    def outside(self):
        if self.writer is None:
            self.writer = Writer(self.environment, core=LOADING)
        return self.writer

    def run(self, count, gap, rows):
        """The limits have nobody who writes: they send by themselves."""
        self.get(f"/bench/run?first={self.value + 1}&count={count}&gap={gap}&rows={rows}")
        self.value += count

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.server.port}{path}") as answer:
            return answer.read()

    def close(self):
        self.disperse()
        if self.writer is not None:
            self.writer.close()
        self.server.close()


class RawServer(Server):
    """`bench.limits`, started like a server."""

    def __init__(self):
        super().__init__("daphne", "/nowhere")
        self._command = [self._command[0], "-m", "bench.limits", str(self.port)]


def quiet(server):
    """Without a line for each connection."""
    return ["--verbosity", "0"] if server == "daphne" else ["--log-level", "warning"]


def workers_of(pid, count):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        children = psutil.Process(pid).children()
        workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        if len(workers) == count:
            return workers
        time.sleep(0.05)
    raise TimeoutError("The workers don't come.")


def cpu_of(process):
    with contextlib.suppress(AttributeError, OSError):
        # Linux: any process's clock, in nanoseconds (clock_getcpuclockid).
        return time.clock_gettime(~process.pid << 3 | 2)
    times = process.cpu_times()
    return times.user + times.system
