"""A writer in a process of its own, which does as it is told by lines of JSON.

    {"to": "ours", "first": 1, "count": 100, "rows": 10, "gap": 0.05, "together": 1}

It saves the values from `first` on, each to its row, so many in one transaction, and prints when
each was committed. `gap` is from one transaction's begin to the next one's; it doesn't fall
behind by waiting. Several in one transaction are one `executemany`: what is measured is whoever
reads them, and the writer shares a core with the clients.
"""

import json
import os
import subprocess
import sys
import time

import django

from bench.frames import name_of
from tests.servers import CHECKOUT


class Writer:
    """The process, as the measurement sees it."""

    def __init__(self, environment, core=None):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.outside"],
            cwd=CHECKOUT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if core is not None:
            os.sched_setaffinity(self._process.pid, {core})

    def begin(self, to, first, count, rows, *, gap=0.0, together=1):
        asked = {"to": to, "first": first, "count": count, "rows": rows}
        self._process.stdin.write(json.dumps(asked | {"gap": gap, "together": together}) + "\n")
        self._process.stdin.flush()

    def done(self):
        """Wait for it; return the time of each value's commit."""
        return {int(value): when for value, when in json.loads(self._process.stdout.readline())}

    def write(self, *arguments, **options):
        self.begin(*arguments, **options)
        return self.done()

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def run():
    django.setup()
    from asgiref.sync import async_to_sync
    from django.db import connection, transaction

    from bench.models import BoundValue, PlainValue
    from bench.peers import group_send

    models = {"ours": BoundValue, "channels": PlainValue}
    held = {}

    def write(to, first, count, rows, gap, together):
        model = models[to]
        if (to, rows) not in held:
            names = [name_of(value, rows) for value in range(rows)]
            held[to, rows] = {row.name: row for row in model.objects.filter(name__in=names)}
        due = time.monotonic()
        for value in range(first, first + count, together):
            values = range(value, min(value + together, first + count))
            if together > 1:
                sql = f"UPDATE {model._meta.db_table} SET value = %s WHERE name = %s"
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.executemany(sql, [(one, name_of(one, rows)) for one in values])
            else:
                row = held[to, rows][name_of(value, rows)]
                row.value = value
                row.save()
            committed = time.time()
            if to == "channels":
                for one in values:
                    async_to_sync(group_send)(name_of(one, rows), one)
            yield from ((one, committed) for one in values)
            due += gap
            time.sleep(max(0, due - time.monotonic()))

    for line in sys.stdin:
        print(json.dumps(list(write(**json.loads(line)))), flush=True)


if __name__ == "__main__":
    run()
