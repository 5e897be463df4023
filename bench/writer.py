"""What capture and the doorbell add to a write: bound against not bound, interleaved, medians.

Run as a program, in an environment whose database is migrated; prints JSON. Microseconds a row.
"""

import contextlib
import json
import statistics
import sys
import time

import django

from tests.redis import Redis

#: A table without a binding; one with; captured by signals, bulk statements by a journaling
#: queryset; where commits ring over Redis; and beside it, a table that is observed by
#: djangochannelsrestframework, over Redis (of bulk statements that tells nothing).
HOWS = (
    *("plain", "triggers", "signals"),
    *("Redis up", "Redis paused", "Redis absent"),
    "DCRF, Redis up",
)
WRITES = ("save", "update", "bulk_create")
SAVES = 300
BULK = 10_000


def save(rows):
    row = rows.get_or_create(name="bench")[0]
    began = time.perf_counter()
    for value in range(SAVES):
        row.value = value
        row.save()
    return (time.perf_counter() - began) / SAVES


def bulk_create(rows):
    rows.all().delete()
    made = [rows.model(name=str(number)) for number in range(BULK)]
    began = time.perf_counter()
    rows.bulk_create(made)
    return (time.perf_counter() - began) / BULK


def update(rows):
    assert rows.count() >= BULK
    began = time.perf_counter()
    rows.update(value=7)
    return (time.perf_counter() - began) / BULK


def measure(count):
    from django.test import override_settings

    import bench.peers  # noqa: F401  (observes)
    from bench.models import BoundValue, ObservedValue, PlainValue
    from databinding import triggers
    from databinding.managers import JournalingQuerySet

    rows = dict.fromkeys(HOWS, BoundValue.objects.all())
    rows["plain"] = PlainValue.objects.all()
    rows["signals"] = JournalingQuerySet(BoundValue)
    rows["DCRF, Redis up"] = ObservedValue.objects.all()
    found = {(write, how): [] for write in WRITES for how in HOWS}
    order = list(HOWS)
    with Redis() as redis:
        for _ in range(count):
            order.append(order.pop(0))  # nobody always comes first
            for how in order:
                limits = {"KEY_LIMIT": BULK}  # each row is journalled by its key
                capture = "signals" if how == "signals" else "triggers"
                with override_settings(DATABINDING={"CAPTURE": capture, **limits}):
                    triggers.install("default")
                    with rung(how, redis):
                        for write in (bulk_create, update, save):
                            if how.startswith("DCRF") and write is not save:
                                continue
                            found[write.__name__, how].append(write(rows[how]))
    triggers.install("default")
    return {"database": database()} | {
        write: described({how: found[write, how] for how in HOWS if found[write, how]})
        for write in WRITES
    }


def database():
    """Which, and how safely it commits: what a commit costs decides on the ratios of a save."""
    from django.db import connection

    asked = {
        "sqlite": ("journal_mode", "synchronous"),
        "postgresql": ("server_version", "synchronous_commit", "fsync"),
    }[connection.vendor]
    ask = "PRAGMA" if connection.vendor == "sqlite" else "SHOW"
    told = {"vendor": connection.vendor}
    with connection.cursor() as cursor:
        for name in asked:
            cursor.execute(f"{ask} {name}")
            told[name] = cursor.fetchone()[0]
    return told


@contextlib.contextmanager
def rung(how, redis):
    """Have commits ring over a Redis that is up, paused, or not there (an address of nobody)."""
    from django.test import override_settings

    from databinding import doorbell
    from databinding.doorbell import channel_layer

    if "Redis" not in how:
        yield
        return
    host = redis.environment()["REDIS_URL"] + (".none" if how == "Redis absent" else "")
    layer = {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [host]},
    }
    with override_settings(CHANNEL_LAYERS={"default": layer}):
        channel_layer.renew()
        carrier = channel_layer.carrier()
        if how == "Redis paused":
            redis.pause()
        doorbell.ring("default")
        while not (carrier.up if how.endswith("Redis up") else carrier.failed):
            time.sleep(0.01)
        yield
        carrier.stop()
        redis.resume()


def described(times):
    """Medians in microseconds a row, and of the ratios to the plain write of the same round."""
    return {
        "microseconds": {
            how: round(1e6 * statistics.median(taken), 2) for how, taken in times.items()
        },
        "ratio_to_plain": {
            how: round(
                statistics.median(
                    own / plain for own, plain in zip(taken, times["plain"], strict=True)
                ),
                2,
            )
            for how, taken in times.items()
            if how != "plain"
        },
    }


if __name__ == "__main__":
    django.setup()
    json.dump(measure(int(sys.argv[1])), sys.stdout)
