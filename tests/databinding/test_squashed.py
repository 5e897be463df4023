"""A project's migrations, squashed by Django's own command: its triggers are there at each step."""

import importlib
import sys

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import modify_settings

from databinding import capture, triggers
from databinding.binding import registry
from databinding.checks import check_triggers
from databinding.models import JournalEntry
from databinding.websockets import WebsocketBinding

pytestmark = pytest.mark.django_db(transaction=True)

MODELS = """
from django.db import models


class Sheep(models.Model):
    name = models.CharField(max_length=40)
    weight = models.IntegerField(default=0)

    def __str__(self):
        return self.name
"""
FIRST = """
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            "Sheep",
            [
                ("id", models.BigAutoField(primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=20)),
            ],
        ),
    ]
"""
SECOND = """
from django.db import migrations, models


def bring_one(apps, schema_editor):
    apps.get_model("flock", "Sheep").objects.create(name="by a migration")


class Migration(migrations.Migration):
    dependencies = [("flock", "0001_initial")]
    operations = [
        migrations.AddField("sheep", "weight", models.IntegerField(default=0)),
        migrations.AlterField("sheep", "name", models.CharField(max_length=40)),
        migrations.RunPython(bring_one, migrations.RunPython.noop, elidable=True),
    ]
"""
THIRD = """
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("flock", "{after}")]
    operations = [
        migrations.AlterField("sheep", "name", models.CharField(max_length=40, unique=True)),
    ]
"""


class Flock:
    """A project's app with migrations, which lie in a folder."""

    def __init__(self, folder):
        self.migrations = folder / "flock" / "migrations"

    def write(self, name, text):
        (self.migrations / f"{name}.py").write_text(text)

    def names(self):
        return sorted(file.stem for file in self.migrations.glob("[0-9]*.py"))

    def run(self, *command, **options):
        # As a process of its own would find the files.
        importlib.invalidate_caches()
        for name in [name for name in sys.modules if name.startswith("flock.migrations")]:
            del sys.modules[name]
        call_command(*command, verbosity=0, **options)

    def migrate(self, to=None, **options):
        self.run("migrate", "flock", *([to] if to else []), **options)

    def applied(self):
        found = MigrationRecorder(connection).applied_migrations()
        return sorted(name for app, name in found if app == "flock")


@pytest.fixture
def flock(tmp_path, monkeypatch, transactional_db):
    """The app in two migrations, installed and bound, and not migrated."""
    before = list(registry)
    app = Flock(tmp_path)
    app.migrations.mkdir(parents=True)
    for folder in (app.migrations, app.migrations.parent):
        (folder / "__init__.py").touch()
    (app.migrations.parent / "models.py").write_text(MODELS)
    app.write("0001_initial", FIRST)
    app.write("0002_weight", SECOND)
    monkeypatch.syspath_prepend(tmp_path)
    with modify_settings(INSTALLED_APPS={"append": "flock"}):
        sheep = apps.get_model("flock", "Sheep")
        type("SheepBinding", (WebsocketBinding,), {"model": sheep, "fields": "__all__"})
        yield app
        app.migrate("zero")
    registry[:] = before
    capture.connect()
    triggers.install("default")
    apps.all_models.pop("flock")
    for name in [name for name in sys.modules if name.split(".")[0] == "flock"]:
        del sys.modules[name]


def journalled():
    """The keys since this was last asked."""
    found = {key for (key,) in JournalEntry.objects.filter(model="flock.sheep").values_list("key")}
    JournalEntry.objects.all().delete()
    return found


def is_watched():
    """The triggers are as they should be, and tell of a write which row it was."""
    assert check_triggers(databases=["default"]) == []
    journalled()
    sheep = apps.get_model("flock", "Sheep").objects.create(name="dolly", weight=1)
    assert journalled() == {str(sheep.pk)}
    sheep.delete()
    journalled()


def test_triggers_of_an_app_whose_migrations_are_squashed(flock):
    """Before, after, on a new database, without the replaced ones and with more upon it."""
    flock.migrate()
    assert flock.applied() == ["0001_initial", "0002_weight"]
    # Nobody was there to see what a migration wrote: any row may have changed.
    assert journalled() == {None}
    is_watched()

    flock.run("squashmigrations", "flock", "0002", interactive=False)
    (squashed,) = [name for name in flock.names() if "squashed" in name]
    flock.migrate()
    assert squashed in flock.applied()
    # Nothing was done to the table, so nothing is read anew.
    assert journalled() == set()
    is_watched()

    flock.migrate("zero")
    assert not [name for name in triggers.wanted("default") if "flock_sheep" in name]
    flock.migrate()
    is_watched()

    for name in ("0001_initial", "0002_weight"):
        (flock.migrations / f"{name}.py").unlink()
    text = (flock.migrations / f"{squashed}.py").read_text()
    kept = [line for line in text.splitlines() if "replaces" not in line]
    flock.write(squashed, "\n".join(kept))
    flock.migrate(prune=True)
    assert flock.applied() == [squashed]
    assert journalled() == set()
    is_watched()

    flock.write("0003_unique", THIRD.format(after=squashed))
    flock.migrate()
    is_watched()
    flock.migrate(squashed)
    is_watched()
