"""What servers do now and then, once however many they are: settings.PERIODIC_JOBS.

    PERIODIC_JOBS = {"chat.jobs.remove_empty_rooms": 600}     # a function, and seconds

Each server process has a thread that looks which jobs are due. Whoever takes the lease of one, a
row in the database, does it. A process that dies over a job holds it up for `LEASE` seconds more.
The clock is the database's.
"""

import atexit
import logging
import threading
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connections
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.module_loading import import_string

from .models import PeriodicJob

logger = logging.getLogger("dashboard")

#: Seconds that a job may take before somebody else does it.
LEASE = 60
#: Seconds between looks: half those of the most frequent job, within these.
SHORTEST, LONGEST = 0.1, 5.0
#: Seconds that a server waits at its end for a job to finish.
PATIENCE = 5.0


class Runner:
    """The thread of this process. `start` and `stop` it from any other."""

    def __init__(self):
        self._starting = threading.Lock()
        self._stop = threading.Event()
        self._thread = None
        self._away = False

    def start(self):
        """Begin, unless it has begun, or there is nothing to do, or others do it."""
        if self._thread is not None or not settings.PERIODIC_JOBS:
            return
        if not settings.RUN_PERIODIC_JOBS:
            return
        with self._starting:
            if self._thread is None:
                self._stop.clear()
                self._thread = threading.Thread(target=self._run, name="periodic", daemon=True)
                self._thread.start()
                # Not every server says that it ends.
                atexit.register(self.stop)

    def stop(self):
        """End, after the job that is being done."""
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            atexit.unregister(self.stop)
            thread.join(PATIENCE)

    def _run(self):
        pause = min(LONGEST, max(SHORTEST, min(settings.PERIODIC_JOBS.values()) / 2))
        while not self._stop.wait(pause):
            try:
                for path in due():
                    if not self._stop.is_set():
                        run(path)
                self._away = False
            except (DatabaseError, InterfaceError) as error:
                if not self._away:
                    logger.warning("Periodic jobs wait: the database is away (%s).", error)
                self._away = True
            finally:
                connections.close_all()


#: This process's.
runner = Runner()


def due():
    """The jobs to be done, as paths; those that are new are due in their time."""
    known = set(PeriodicJob.objects.values_list("path", flat=True))
    PeriodicJob.objects.bulk_create(
        [
            PeriodicJob(path=path, due=Now() + timedelta(seconds=seconds))
            for path, seconds in settings.PERIODIC_JOBS.items()
            if path not in known
        ],
        ignore_conflicts=True,
    )
    free = Q(leased_until=None) | Q(leased_until__lt=Now())
    waiting = PeriodicJob.objects.filter(free, due__lte=Now(), path__in=settings.PERIODIC_JOBS)
    return list(waiting.values_list("path", flat=True))


def run(path, *, early=False):
    """Do a job if it is due (or `early`) and nobody else is at it; return whether it was done.

    What the job raises is logged, unless it is of the database's being away.
    """
    job = PeriodicJob.objects.filter(Q(leased_until=None) | Q(leased_until__lt=Now()), path=path)
    if not early:
        job = job.filter(due__lte=Now())
    if not job.update(leased_until=Now() + timedelta(seconds=LEASE)):
        return False
    try:
        import_string(path)()
    except (OperationalError, InterfaceError):
        raise  # The database is away, or busy.
    except Exception:
        logger.exception("Periodic job %s failed.", path)
    finally:
        seconds = settings.PERIODIC_JOBS[path]
        PeriodicJob.objects.filter(path=path).update(
            due=Now() + timedelta(seconds=seconds), leased_until=None
        )
    return True
