"""What servers do now and then: `dashboard.periodic`."""

import subprocess
import sys
import threading
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from django.utils import timezone

from dashboard import periodic
from dashboard.models import PeriodicJob
from tests.servers import CHECKOUT, PATIENCE, Server, command, environment, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

NOTE, FAIL = "tests.dashboard.jobs.note", "tests.dashboard.jobs.fail"
JOBS = override_settings(PERIODIC_JOBS={NOTE: 60})


@pytest.fixture
def notes(tmp_path, monkeypatch):
    """What the job has noted: a function that gives (what, pid, time) each time."""
    path = tmp_path / "notes"
    path.touch()
    monkeypatch.setenv("NOTES", str(path))

    def read():
        lines = [line.split() for line in path.read_text().splitlines()]
        return [(what, int(pid), float(at)) for what, pid, at in lines]

    return read


def runs(notes, pid=None):
    return sum(what == "end" and pid in (None, of) for what, of, _ in notes())


@pytest.mark.parametrize("kinds", [("uvicorn", "daphne"), ("daphne", "uvicorn")])
def test_a_job_runs_once_however_many_servers_there_are(start_server, notes, kinds):
    """Two servers take turns, never both; one that is stopped ends in peace, the other goes on."""
    one, other = (start_server(kind, settings="tests.dashboard.settings") for kind in kinds)
    wait_until(lambda: runs(notes) >= 6)
    one.stop()
    before = runs(notes, other.process.pid)
    wait_until(lambda: runs(notes, other.process.pid) >= before + 2)
    other.stop()

    said = notes()
    assert [what for what, _, _ in said] == ["begin", "end"] * (len(said) // 2)
    assert all(begin[1] == end[1] for begin, end in zip(said[::2], said[1::2], strict=True))
    ends, begins = [at for _, _, at in said[1::2]], [at for _, _, at in said[2::2]]
    # By the database's clock, whose ticks are milliseconds.
    assert all(b - e > 0.49 for e, b in zip(ends, begins, strict=False))
    log = one.log() + other.log()
    assert f"Periodic job {FAIL} failed." in log
    # Where it was, and what; texts of exceptions may hold what rows do.
    assert "in fail\n" in log
    assert log.count("Traceback") == log.count("\nRuntimeError\n"), log[-5000:]


def test_a_server_without_a_database_waits_for_it(tmp_path, notes):
    """While the tables aren't there it says so once; then the jobs run."""
    database = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        database = str(tmp_path / "empty.sqlite3")
    else:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE dashboard_periodicjob")
            cursor.execute("DELETE FROM django_migrations WHERE app = 'dashboard'")
    server = Server("uvicorn", database, settings="tests.dashboard.settings")
    try:
        server.start()
        wait_until(lambda: "Periodic jobs wait: the database is away" in server.log())
        with command(database, "migrate", settings="tests.dashboard.settings") as migrate:
            _, errors = migrate.communicate(timeout=PATIENCE)
        assert migrate.returncode == 0, errors
        wait_until(lambda: runs(notes) >= 2)
        assert server.log().count("Periodic jobs wait") == 1
    finally:
        server.close()


@JOBS
def test_a_job_that_is_new_is_due_in_its_time(notes):
    """It isn't done at once, so that a restart doesn't do everything."""
    assert periodic.due() == []
    job = PeriodicJob.objects.get(path=NOTE)
    assert timedelta(seconds=30) < job.due - timezone.now() <= timedelta(seconds=61)
    assert not periodic.run(NOTE)
    assert runs(notes) == 0


@JOBS
def test_a_job_that_is_due_is_done_and_due_again_later(notes):
    """Done once, it waits for its interval."""
    periodic.due()
    PeriodicJob.objects.update(due=timezone.now() - timedelta(seconds=1))
    assert periodic.due() == [NOTE]
    assert periodic.run(NOTE)
    assert not periodic.run(NOTE)
    assert periodic.due() == []
    assert runs(notes) == 1


@JOBS
def test_a_job_belongs_to_who_has_its_lease(notes):
    """Nobody else does it until the lease is over, as that of a process that died."""
    periodic.due()
    now, second = timezone.now(), timedelta(seconds=1)
    PeriodicJob.objects.update(due=now - second, leased_until=now + 30 * second)
    assert periodic.due() == []
    assert not periodic.run(NOTE)
    assert not periodic.run(NOTE, early=True)
    PeriodicJob.objects.update(leased_until=now - second)
    assert periodic.due() == [NOTE]
    assert periodic.run(NOTE)
    assert PeriodicJob.objects.get().leased_until is None
    assert runs(notes) == 1


@override_settings(PERIODIC_JOBS={FAIL: 60, NOTE: 60})
def test_the_command_does_each_job_now(notes, capsys, caplog):
    """For cron: each job once, due or not, failing or not, except one that is being done."""
    call_command("run_periodic_jobs")
    assert capsys.readouterr().out == f"{FAIL}: done\n{NOTE}: done\n"
    assert runs(notes) == 1
    assert "as planned" in caplog.text
    PeriodicJob.objects.update(leased_until=timezone.now() + timedelta(seconds=30))
    call_command("run_periodic_jobs")
    assert capsys.readouterr().out.count("a server is just at it") == 2


@override_settings(PERIODIC_JOBS={NOTE: 0.2}, RUN_PERIODIC_JOBS=True)
def test_a_runner_starts_and_stops(notes):
    """Started twice it is one thread, which ends when it is stopped, and may begin anew."""
    runner = periodic.Runner()
    for _ in range(2):
        runner.start()
        runner.start()
        threads = [thread for thread in threading.enumerate() if thread.name == "periodic"]
        assert len(threads) == 1
        before = runs(notes)
        wait_until(lambda before=before: runs(notes) > before)
        runner.stop()
        assert not threads[0].is_alive()
    runner.stop()


@pytest.mark.parametrize(("jobs", "run"), [({}, True), ({NOTE: 60}, False)])
def test_a_runner_with_nothing_to_do_does_not_start(jobs, run):
    """Without jobs, or where cron does them, there is no thread."""
    with override_settings(PERIODIC_JOBS=jobs, RUN_PERIODIC_JOBS=run):
        periodic.Runner().start()
    assert "periodic" not in [thread.name for thread in threading.enumerate()]


def test_a_process_that_just_ends_ends_its_runner(database, notes):
    """A server that tells nobody of its end takes the thread with it, without a word."""
    code = "import django; django.setup(); from dashboard.periodic import runner; runner.start()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(database, settings="tests.dashboard.settings"),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
