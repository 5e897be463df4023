"""What the relay sleeps on."""

import contextlib
import gc
import os
import subprocess
import sys
import threading
import time

import pytest

from databinding.alarm import Alarm, FileAlarm, new_alarm

LONG = 10
#: What an alarm opens, as Linux calls it.
OURS = ("anon_inode:[eventfd]", "anon_inode:inotify")


@pytest.fixture(params=[Alarm, FileAlarm])
def alarm(request):
    alarm = request.param()
    yield alarm
    alarm.close()


@pytest.fixture
def watching(tmp_path):
    """An alarm that watches a file, and the file."""
    alarm = FileAlarm()
    path = tmp_path / "file"
    path.write_text("1")
    assert alarm.watch([str(path)])
    yield alarm, path
    alarm.close()


def woken_early(alarm, seconds=LONG):
    began = time.monotonic()
    woken = alarm.wait(seconds)
    return woken, time.monotonic() - began < seconds


def write(path):
    """By another process, as somebody's commit."""
    subprocess.run([sys.executable, "-c", "open(__import__('sys').argv[1], 'a').write('2')", path])


def test_whoever_sleeps_is_woken(alarm):
    """From another thread, at once; once for however many calls."""
    threading.Timer(0.05, lambda: (alarm.set(), alarm.set())).start()
    assert woken_early(alarm) == (True, True)
    assert not alarm.written()


def test_a_call_before_counts_once(alarm):
    """Who is called while awake doesn't fall asleep the next time; but the time after."""
    alarm.set()
    alarm.set()
    assert woken_early(alarm) == (True, True)
    assert alarm.wait(0.01) is False


def test_no_call_is_lost(alarm):
    """However busy the process is, and whenever it is called: none goes by unheard."""
    stop, heard = threading.Event(), threading.Semaphore(0)

    def sleep():
        while not stop.is_set():
            if alarm.wait(0.002):
                heard.release()

    sleeper = threading.Thread(target=sleep)
    sleeper.start()
    for _ in range(50):
        until = time.monotonic() + 0.004
        while time.monotonic() < until:
            pass  # holds the interpreter, as an event loop at work does
        alarm.set()
        assert heard.acquire(timeout=LONG)
    stop.set()
    sleeper.join()


def test_nobody_calls(alarm):
    """It sleeps for as long as it wanted to."""
    assert woken_early(alarm, 0.05) == (False, False)


def test_a_file_is_written(watching):
    """What another process writes to a watched file ends the sleep, and is told once."""
    alarm, path = watching
    assert not alarm.written()
    writer = threading.Thread(target=write, args=[path])
    writer.start()
    assert woken_early(alarm) == (False, True)
    assert alarm.written()
    writer.join()
    alarm.written()
    assert not alarm.written()


def test_reading_wakes_nobody(watching):
    """Only what is written counts."""
    alarm, path = watching
    path.read_text()
    assert woken_early(alarm, 0.05) == (False, False)
    assert not alarm.written()


def test_a_file_that_takes_anothers_place(watching):
    """Once its name is asked for anew, the new file is watched; the old one was, until then."""
    alarm, path = watching
    other = path.with_name("other")
    other.write_text("1")
    os.replace(other, path)
    assert woken_early(alarm) == (False, True)
    assert alarm.watch([str(path)])
    alarm.written()
    write(path)
    assert alarm.written()


def test_a_file_that_is_not_there_yet(tmp_path):
    """It is passed over, and watched as soon as it is there when asked again."""
    alarm, path = FileAlarm(), tmp_path / "file"
    assert not alarm.watch([str(path)])
    path.write_text("1")
    assert alarm.watch([str(path)])
    write(path)
    assert alarm.written()
    alarm.close()
    assert not alarm.written()


def test_nothing_is_left_open():
    """An alarm that nobody has any more has closed what it had."""

    def opened():
        """What alarms have open; anything else may come and go meanwhile."""
        found = 0
        for number in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):
                found += os.readlink(f"/proc/self/fd/{number}").startswith(OURS)
        return found

    gc.collect()
    before = opened()
    for _ in range(10):
        alarm = FileAlarm()
        alarm.watch([__file__])
        alarm.close()
    del alarm
    assert opened() == before


def test_the_best_there_is(monkeypatch):
    """Where files tell nothing, or their package isn't there, it can only be called."""
    assert isinstance(new_alarm(), FileAlarm)
    monkeypatch.setitem(sys.modules, "inotify_simple", None)
    alarm = new_alarm()
    assert type(alarm) is Alarm
    assert not alarm.watch([__file__])
