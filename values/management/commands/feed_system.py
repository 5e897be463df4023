import signal
import time
from contextlib import suppress

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from values.machine import DESCRIPTIONS, Machine
from values.models import BooleanValue, FloatValue, IntegerValue, TextValue

#: How long the database may refuse writes, in seconds, before the feed gives up.
PATIENCE = 60
#: A value that says that this is running.
ALIVE = "feed.alive"


STOPS = (signal.SIGINT, signal.SIGTERM)


def stop(number, frame):
    """Once: a terminal tells it, and so does whoever started it, and there is more to write."""
    for one in STOPS:
        signal.signal(one, lambda number, frame: None)
    raise KeyboardInterrupt


class Command(BaseCommand):
    help = (
        "Write this machine's cpu, memory, disk, network and load into values, "
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
        for number in STOPS:
            signal.signal(number, stop)
        try:
            self.feed(interval, count, prefix)
        except KeyboardInterrupt:
            pass
        # Who is killed can't say so: then it is stale before long.
        with suppress(DatabaseError):
            BooleanValue.objects.filter(name=f"{prefix}{ALIVE}").update(value=False)

    def feed(self, interval, count, prefix):
        machine = Machine()
        due = written = time.monotonic()
        done = 0
        while done != count:
            due = max(due + interval, time.monotonic())  # a late reading makes no others early
            time.sleep(max(0, due - time.monotonic()))
            integers, decimals, states, texts = machine.read()
            try:
                with transaction.atomic():
                    write(IntegerValue, integers, interval, prefix)
                    write(FloatValue, decimals, interval, prefix)
                    write(BooleanValue, states | {ALIVE: True}, interval, prefix)
                    write(TextValue, texts, interval, prefix)
                written = time.monotonic()
            except DatabaseError as error:  # busy, or away for a moment
                connection.close()
                if time.monotonic() - written > PATIENCE:
                    raise CommandError(
                        f"The database has refused writes for {PATIENCE} s: {error}"
                    ) from error
                self.stderr.write(f"The database refused a write, trying again: {error}")
            done += 1


def write(model, readings, interval, prefix):
    """Make the rows of these names hold these readings; touch no other.

    A row that nothing reported before is told how to be shown, as far as nobody has said so.
    """
    readings = {f"{prefix}{name}": value for name, value in readings.items()}
    rows = model.objects.in_bulk(list(readings), field_name="name")
    fields = {"value", "reported_at", "expected_interval"}
    for name, value in readings.items():
        row = rows.get(name) or model(name=name)
        if row.reported_at is None:
            description = DESCRIPTIONS.get(name.removeprefix(prefix), {})
            if all(getattr(row, field) == getattr(model(), field) for field in description):
                for field, what in description.items():
                    setattr(row, field, what)
                fields.update(description)
        row.value = value
        row.reported_at = timezone.now()
        row.expected_interval = interval
        rows[name] = row
    model.objects.bulk_update([row for row in rows.values() if row.pk], fields)
    model.objects.bulk_create(row for row in rows.values() if row.pk is None)
