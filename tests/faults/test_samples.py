"""Very many samples that wait to be summed up, while others write.

FAULTS_SAMPLES=1000000 python -m pytest -s tests/faults/test_samples.py     # with other numbers
"""

import os
import time

import pytest
from django.db import connection

from tests.servers import command, wait_until
from tests.values.past import HOUR, MINUTE, on_the_hour
from values.models import IntegerValue, Sample, SummarisedUntil, Summary
from values.samples.history import at

pytestmark = pytest.mark.django_db(transaction=True)

SAMPLES = int(os.environ.get("FAULTS_SAMPLES", 6_000))


@pytest.mark.timeout(3_600)
def test_samples_are_summed_up_beside_a_writer(database):
    """Killed in the middle and then done by two at once they are summed up as by one who is left
    alone; whoever writes meanwhile waits for the one transaction that is under way."""
    begin = on_the_hour() - 2 * HOUR
    keys = SAMPLES // 2
    Sample.objects.bulk_create(
        (
            Sample(kind="floatval", key=key, time=at(begin + seconds), number=key % 7 + seconds)
            for seconds in (0, 30)
            for key in range(keys)
        ),
        batch_size=5_000,
    )
    row = IntegerValue.objects.create(name="written meanwhile")

    def begun():
        mark = SummarisedUntil.objects.filter(width=MINUTE).first()
        return mark is not None and (mark.slice_end is not None or mark.time > at(begin))

    with command(database, "keep_samples") as killed:
        wait_until(begun)
        killed.kill()
    waits = []
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA busy_timeout = 5000")  # what programs have that set nothing
        began = time.monotonic()
        both = [command(database, "keep_samples") for _ in range(2)]
        while any(process.poll() is None for process in both):
            asked = time.monotonic()
            IntegerValue.objects.filter(pk=row.pk).update(value=len(waits))
            waits.append(time.monotonic() - asked)
            time.sleep(0.002)
    took = time.monotonic() - began
    for process in both:
        with process:
            assert process.returncode == 0, process.stderr.read()
    waits.sort()
    print(
        f"\n{SAMPLES} samples summed up in {took:.0f} s by two at once; of {len(waits)} writes "
        f"meanwhile half took less than {1000 * waits[len(waits) // 2]:.1f} ms, 99 % less than "
        f"{1000 * waits[len(waits) * 99 // 100]:.0f} ms, the longest {1000 * waits[-1]:.0f} ms"
    )
    found = Summary.objects.filter(kind="floatval")
    columns = ("key", "least", "most", "mean", "known", "count", "number")
    for width, known in ((MINUTE, 60), (HOUR, 3600)):
        # The later 30 s, or the rest of the hour.
        weighed = 30 * (known - 30) / known
        of_width = found.filter(width=width, time=at(begin)).order_by("key")
        assert found.filter(width=width).count() == keys
        for number, (key, least, most, mean, *others) in enumerate(of_width.values_list(*columns)):
            assert (key, least, most) == (number, key % 7, key % 7 + 30)
            assert mean == pytest.approx(key % 7 + weighed)
            assert others == [known, 2, key % 7 + 30]
