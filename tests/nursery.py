"""Servers, and the oracle's writers, forked from a process that has imported what each needs.

Half of what a server does in most tests is to import the same modules. Here it is a process of its
own as `subprocess.Popen` would have made it: of the same program, with the same environment,
folder, log and session, but for modules that are there already. So is a writer, with two pipes.
"""

import asyncio
import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from multiprocessing import util

#: Modules that take long, and have no need of Django's settings.
MODULES = [
    "autobahn.websocket.protocol",
    "channels.auth",
    "django.contrib.postgres.fields",
    "django.core.asgi",
    "django.core.management",
    "prometheus_client",
    "psutil",
    "redis.asyncio",
    "requests",
    "twisted.internet.ssl",
    "twisted.web.http",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.h11_impl",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
    "uvloop",
    "whitenoise.middleware",
    "yaml",
]

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(MODULES)
making = threading.Lock()


def popen(command, **options):
    """In the place of `subprocess.Popen`, for servers."""
    if command[:2] == [sys.executable, "-m"]:
        return Forked(command[2:], **options)
    return subprocess.Popen(command, **options)


def make(target, *arguments):
    """Start a process; return it."""
    process = context.Process(target=target, args=arguments, daemon=True)
    # The path of a unix socket may have some hundred letters, and multiprocessing has one in the
    # folder that it makes, and remembers, the first time that it is asked.
    with making:
        before, tempfile.tempdir = tempfile.tempdir, "/tmp"
        try:
            util.get_temp_dir()
        finally:
            tempfile.tempdir = before
    process.start()
    return process


class Forked:
    """What servers need of `subprocess.Popen`."""

    def __init__(self, arguments, *, cwd, env, stdout, **as_always):
        assert as_always == {"stderr": subprocess.STDOUT, "start_new_session": True}
        self._process = make(run, arguments, str(cwd), dict(env), stdout.name)
        self.pid = self._process.pid

    def poll(self):
        return self._process.exitcode

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return self.poll()

    def send_signal(self, number):
        os.kill(self.pid, number)


async def spawn(*command, stdin, stdout, stderr, env):
    """In the place of `asyncio.create_subprocess_exec`, for writers."""
    assert command[:2] == (sys.executable, "-m")
    assert (stdin, stdout, stderr) == (subprocess.PIPE, subprocess.PIPE, None)
    # What a process reads, and whither it writes: its end of each, and ours.
    (its_input, ours), (theirs, its_output) = context.Pipe(False), context.Pipe(False)
    process = make(talk, command[2:], os.getcwd(), dict(env), its_input, its_output)
    its_input.close()
    its_output.close()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    with ExitStack() as undone:
        undone.callback(process.kill)
        reading, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), opened(theirs, "rb")
        )
        undone.callback(reading.close)
        writing, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, opened(ours, "wb")
        )
        undone.pop_all()
    writer = asyncio.StreamWriter(writing, protocol, None, loop)
    return Talking(process, writer, reader, (reading, writing))


def opened(end, mode):
    """A pipe's end as a file, which it is from now on."""
    with end:
        return os.fdopen(os.dup(end.fileno()), mode, 0)


class Talking:
    """What writers need of `asyncio.subprocess.Process`."""

    def __init__(self, process, stdin, stdout, transports):
        self._process = process
        self._transports = transports
        self.stdin, self.stdout = stdin, stdout

    def kill(self):
        self._process.kill()

    async def wait(self):
        await asyncio.to_thread(self._process.join)
        for transport in self._transports:
            transport.close()


def talk(arguments, folder, environment, its_input, its_output):
    """Be `python -m …` with these for its standard input and output."""
    for number, end in enumerate((its_input, its_output)):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdin = os.fdopen(0, closefd=False)
    be(arguments, folder, environment)


def run(arguments, folder, environment, log):
    """Be `python -m …` in a session of its own, with a log."""
    os.setsid()
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(write_through=True)  # as PYTHONUNBUFFERED says
    be(arguments, folder, environment)


def end_with_the_tests():
    """Those that are ended may not know yet of a process that is being made for them."""
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGKILL)


def be(arguments, folder, environment):
    threading.Thread(target=end_with_the_tests, daemon=True).start()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    installed = [path for path in sys.path if path.startswith((sys.prefix, sys.base_prefix))]
    more = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [folder, *more, *installed]
    sys.argv = list(arguments)
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    finally:
        # As an interpreter ends; multiprocessing leaves it at that.
        threading._shutdown()
        atexit._run_exitfuncs()
