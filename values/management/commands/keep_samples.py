import math

from django.core.management.base import BaseCommand

from values.samples.summaries import keep_up


class Command(BaseCommand):
    help = (
        "Summarise the samples of the values by minutes and hours, and drop what is older than "
        "settings.SAMPLES says; all that is due. Servers do it by themselves (PERIODIC_JOBS)."
    )

    def handle(self, **options):
        made, dropped = keep_up(budget=math.inf)
        self.stdout.write(f"{made} summaries made, {dropped} samples and summaries dropped.")
