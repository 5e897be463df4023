from django.conf import settings
from django.core.management.base import BaseCommand

from dashboard import periodic


class Command(BaseCommand):
    help = "Do each job of PERIODIC_JOBS once, now, unless a server is just at it."

    def handle(self, **options):
        periodic.due()
        for path in settings.PERIODIC_JOBS:
            done = periodic.run(path, early=True)
            self.stdout.write(f"{path}: {'done' if done else 'a server is just at it'}")
