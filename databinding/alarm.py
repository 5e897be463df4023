"""What a thread sleeps on: until somebody wakes it, a file is written, or it is time.

Only Linux tells of files (inotify); elsewhere, and where its package is missing, `Alarm.watch` says
that it can't, and whoever sleeps has to look by itself more often.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inotify_simple import INotify


class Alarm:
    """For one thread that waits, and any that wake it; a call before it waits counts, too."""

    def __init__(self) -> None:
        self._set = threading.Event()

    def set(self) -> None:
        """Wake it. From any thread."""
        self._set.set()

    def wait(self, seconds: float) -> bool:
        """Wait at most so long; True if it was woken. That is over then."""
        # A call that comes between the end of the wait and here must not be lost.
        woken = self._set.wait(seconds) or self._set.is_set()
        if woken:
            self._set.clear()
        return woken

    def watch(self, paths: Iterable[str]) -> bool:
        """Be woken by what is written to these files from now on; those that aren't there are
        passed over. False: no file is watched."""
        return False

    def written(self) -> bool:
        """Was a file written since this was last asked?"""
        return False

    def close(self) -> None:
        """Watch no files any more."""


class FileAlarm(Alarm):
    """One that files wake, too."""

    def __init__(self) -> None:
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        weakref.finalize(self, os.close, self._event)
        self._poll = select.poll()
        self._poll.register(self._event, select.POLLIN)
        self._files: INotify | None = None
        self._watched: dict[str, int] = {}
        self._written = False

    def set(self) -> None:
        os.eventfd_write(self._event, 1)

    def wait(self, seconds: float) -> bool:
        woken = False
        for descriptor, _ in self._poll.poll(max(0.0, seconds) * 1000):
            if descriptor == self._event:
                os.eventfd_read(self._event)
                woken = True
            else:
                self._take()
        return woken

    def watch(self, paths: Iterable[str]) -> bool:
        import inotify_simple as inotify

        for path in paths:
            if path in self._watched:
                continue
            try:
                if self._files is None:
                    self._files = inotify.INotify()
                    self._poll.register(self._files, select.POLLIN)
                # A file that was put in another's place is another one: its own is gone.
                told = inotify.flags.MODIFY | inotify.flags.ATTRIB | inotify.flags.MOVE_SELF
                self._watched[path] = self._files.add_watch(path, told)
            except OSError:
                continue  # It isn't there; or there are too many watchers on this machine.
        return bool(self._watched)

    def written(self) -> bool:
        if self._files is not None:
            self._take()
        written, self._written = self._written, False
        return written

    def close(self) -> None:
        if self._files is not None:
            self._poll.unregister(self._files)
            self._files.close()
            self._files = None
            self._watched.clear()

    def _take(self) -> None:
        import inotify_simple as inotify

        assert self._files is not None
        for event in self._files.read(timeout=0):
            if event.mask & inotify.flags.MODIFY:
                self._written = True
            else:
                # Its name may be another file's by now. Watched anew by its name, it is the same
                # or that one.
                self._watched = {
                    path: watch for path, watch in self._watched.items() if watch != event.wd
                }


def new_alarm() -> Alarm:
    """The best that there is on this machine."""
    if sys.platform == "linux":
        try:
            import inotify_simple  # noqa: F401

            return FileAlarm()
        except (ImportError, OSError):  # OSError: no more files may be open.
            pass
    return Alarm()
