import signal
import time

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection, transaction

from values.machine import Machine
from values.models import IntegerValue

#: How long the database may refuse writes, in seconds, before the feed gives up.
PATIENCE = 60


class Command(BaseCommand):
    help = (
        "Write this machine's cpu, memory, disk, network and load into integer values, "
        "again and again until stopped (Ctrl-C, SIGTERM)."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "--interval",
            type=float,
            default=1.0,
            metavar="SECONDS",
            help="time between two readings (1.0)",
        )
        parser.add_argument(
            "--count", type=int, metavar="N", help="stop after N readings instead of never"
        )
        parser.add_argument("--prefix", default="", help="put this before every name")

    def handle(self, *, interval, count, prefix, **options):
        if interval <= 0:
            raise CommandError("--interval must be more than 0.")
        # Both stop it, also where a shell started it in the background with SIGINT ignored.
        for stop in (signal.SIGINT, signal.SIGTERM):
            signal.signal(stop, signal.default_int_handler)
        try:
            self.feed(interval, count, prefix)
        except KeyboardInterrupt:
            pass

    def feed(self, interval, count, prefix):
        machine = Machine()
        due = written = time.monotonic()
        done = 0
        while done != count:
            due = max(due + interval, time.monotonic())  # a late reading makes no others early
            time.sleep(max(0, due - time.monotonic()))
            values = {f"{prefix}{name}": value for name, value in machine.read().items()}
            try:
                write(values)
                written = time.monotonic()
            except DatabaseError as error:  # busy, or away for a moment
                connection.close()
                if time.monotonic() - written > PATIENCE:
                    raise CommandError(
                        f"The database has refused writes for {PATIENCE} s: {error}"
                    ) from error
                self.stderr.write(f"The database refused a write, trying again: {error}")
            done += 1


def write(values):
    """Make the rows of these names hold these values, in one transaction; touch no other."""
    with transaction.atomic():
        rows = IntegerValue.objects.in_bulk(list(values), field_name="name")
        changed = [row for name, row in rows.items() if row.value != values[name]]
        for row in changed:
            row.value = values[row.name]
        IntegerValue.objects.bulk_update(changed, ["value"])
        IntegerValue.objects.bulk_create(
            IntegerValue(name=name, value=value)
            for name, value in values.items()
            if name not in rows
        )
