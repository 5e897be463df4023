from django.db import migrations, models

from databinding import triggers


def uninstall(apps, schema_editor):
    """SQLite renames no table while triggers name one that is gone; migrate makes them again."""
    triggers.uninstall(schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = [
        ("values", "0003_samples"),
    ]

    operations = [
        migrations.CreateModel(
            name="Description",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("kind", models.CharField(max_length=10)),
                ("key", models.BigIntegerField()),
                ("time", models.DateTimeField()),
                ("name", models.CharField(max_length=100, null=True)),
                ("about", models.JSONField(default=dict)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["kind", "key", "time"], name="description_of_value")
                ],
            },
        ),
        migrations.RunPython(migrations.RunPython.noop, uninstall),
    ]
