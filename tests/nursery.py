"""Servers forked from a process that has imported what each of them needs.

Half of what a server does in most tests is to import the same modules. Here it is a process of its
own as `subprocess.Popen` would have made it: of the same program, with the same environment,
folder, log and session, but for modules that are there already.
"""

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import threading

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


def popen(command, **options):
    """In the place of `subprocess.Popen`, for servers."""
    if command[:2] == [sys.executable, "-m"]:
        return Forked(command[2:], **options)
    return subprocess.Popen(command, **options)


class Forked:
    """What servers need of `subprocess.Popen`."""

    def __init__(self, arguments, *, cwd, env, stdout, **as_always):
        assert as_always == {"stderr": subprocess.STDOUT, "start_new_session": True}
        self._process = context.Process(
            target=run, args=(arguments, str(cwd), dict(env), stdout.name), daemon=True
        )
        self._process.start()
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


def run(arguments, folder, environment, log):
    """Be `python -m …`."""
    os.setsid()
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(write_through=True)  # as PYTHONUNBUFFERED says
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    installed = [path for path in sys.path if path.startswith((sys.prefix, sys.base_prefix))]
    sys.path[:] = [folder, *environment["PYTHONPATH"].split(os.pathsep), *installed]
    sys.argv = arguments
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    finally:
        # As an interpreter ends; multiprocessing leaves it at that.
        threading._shutdown()
        atexit._run_exitfuncs()
