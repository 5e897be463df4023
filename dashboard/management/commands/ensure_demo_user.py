import secrets

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

NAME = "demo"


class Command(BaseCommand):
    help = (
        f"Make a superuser `{NAME}` with a random password, printed this once, if there is none. "
        "An existing user is never touched."
    )

    def handle(self, **options):
        users = get_user_model()._default_manager
        if users.filter(username=NAME).exists():
            self.stdout.write(
                f"Log in as {NAME}. Password forgotten: manage.py changepassword {NAME}"
            )
            return
        password = secrets.token_urlsafe(9)
        users.create_superuser(NAME, password=password)
        self.stdout.write(
            f"\n    Log in as {self.style.SUCCESS(NAME)} with the password"
            f" {self.style.SUCCESS(password)}\n\n"
            f"It is shown only now. To set another: manage.py changepassword {NAME}"
        )
