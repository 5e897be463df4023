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

#: A table without a binding; one with; captured by signals; and where commits ring over Redis.
HOWS = ("plain", "triggers", "signals", "Redis up", "Redis paused", "Redis absent")
SAVES = 300
BULK = 3_000


def rounds(count):
    from django.test import override_settings

    from bench.models import PlainValue
    from databinding import triggers
    from values.models import IntegerValue

    def save(model):
        row = model.objects.get_or_create(name="bench")[0]
        began = time.perf_counter()
        for value in range(SAVES):
            row.value = value
            row.save()
        return (time.perf_counter() - began) / SAVES

    def bulk_create(model):
        model.objects.all().delete()
        rows = [model(name=str(number)) for number in range(BULK)]
        began = time.perf_counter()
        model.objects.bulk_create(rows)
        return (time.perf_counter() - began) / BULK

    def update(model):
        began = time.perf_counter()
        model.objects.update(value=7)
        return (time.perf_counter() - began) / BULK

    writes = {"save": save, "bulk_create": bulk_create, "update": update}
    found = {(write, how): [] for write in writes for how in HOWS}
    order = list(HOWS)
    with Redis() as redis:
        for _ in range(count):
            order.append(order.pop(0))  # nobody always comes first
            for how in order:
                model = PlainValue if how == "plain" else IntegerValue
                with override_settings(DATABINDING={"CAPTURE": captured(how)}), rung(how, redis):
                    triggers.install("default")
                    for name, write in writes.items():
                        found[name, how].append(write(model))
    triggers.install("default")
    return {name: described({how: found[name, how] for how in HOWS}) for name in writes}


def captured(how):
    return "signals" if how == "signals" else "triggers"


@contextlib.contextmanager
def rung(how, redis):
    """Have commits ring over a Redis that is up, paused, or not there (an address of nobody)."""
    from django.test import override_settings

    from databinding import doorbell
    from databinding.doorbell import channel_layer

    if not how.startswith("Redis"):
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
        while not (carrier.up if how == "Redis up" else carrier.failed):
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
    json.dump(rounds(int(sys.argv[1])), sys.stdout)
