from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("values", "0005_descriptions_by_name"),
    ]

    operations = [
        migrations.AddField(
            model_name="summariseduntil",
            name="slice_end",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="summariseduntil",
            name="kind",
            field=models.CharField(blank=True, db_default="", default="", max_length=10),
        ),
        migrations.AddField(
            model_name="summariseduntil",
            name="key",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
    ]
