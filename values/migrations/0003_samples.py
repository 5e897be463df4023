from django.db import migrations, models

from databinding import triggers


def uninstall(apps, schema_editor):
    """SQLite renames no table while triggers name one that is gone; migrate makes them again."""
    triggers.uninstall(schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = [
        ("values", "0002_kinds"),
    ]

    operations = [
        migrations.CreateModel(
            name="SummarisedUntil",
            fields=[
                ("width", models.IntegerField(primary_key=True, serialize=False)),
                ("time", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="Sample",
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
                ("number", models.FloatField(null=True)),
                ("text", models.CharField(max_length=500, null=True)),
                ("who", models.CharField(blank=True, db_default="", default="", max_length=150)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["kind", "key", "time"], name="sample_of_value"),
                    models.Index(fields=["time"], name="sample_by_time"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Summary",
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
                ("number", models.FloatField(null=True)),
                ("text", models.CharField(max_length=500, null=True)),
                ("width", models.IntegerField()),
                ("known", models.FloatField()),
                ("least", models.FloatField(null=True)),
                ("most", models.FloatField(null=True)),
                ("mean", models.FloatField(null=True)),
                ("count", models.IntegerField()),
            ],
            options={
                "indexes": [models.Index(fields=["width", "time"], name="summary_by_time")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("kind", "key", "width", "time"), name="summary_of_value"
                    )
                ],
            },
        ),
        migrations.RunPython(migrations.RunPython.noop, uninstall),
    ]
