"""What capture adds to a write: bound against not bound, interleaved, medians of the rounds.

Run as a program, in an environment whose database is migrated; prints JSON. Microseconds a row.
"""

import json
import statistics
import sys
import time

import django

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

    writes = (save, bulk_create, update)
    found = {
        (write.__name__, how): [] for write in writes for how in ("plain", "triggers", "signals")
    }
    order = [("plain", PlainValue), ("triggers", IntegerValue), ("signals", IntegerValue)]
    for _ in range(count):
        order.append(order.pop(0))  # nobody always comes first
        for how, model in order:
            capture = "signals" if how == "signals" else "triggers"
            with override_settings(DATABINDING={"CAPTURE": capture}):
                triggers.install("default")
                for write in writes:
                    found[write.__name__, how].append(write(model))
    triggers.install("default")
    result = {}
    for write in writes:
        name = write.__name__
        times = {how: found[name, how] for how in ("plain", "triggers", "signals")}
        medians = {how: statistics.median(taken) for how, taken in times.items()}
        result[name] = {
            "microseconds": {how: round(1e6 * median, 2) for how, median in medians.items()},
            "ratio_to_plain": {
                how: round(
                    statistics.median(
                        own / plain for own, plain in zip(times[how], times["plain"], strict=True)
                    ),
                    2,
                )
                for how in ("triggers", "signals")
            },
        }
    return result


if __name__ == "__main__":
    django.setup()
    json.dump(rounds(int(sys.argv[1])), sys.stdout)
