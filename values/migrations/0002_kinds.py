import django.core.validators
from django.db import migrations, models

import values.models


class Migration(migrations.Migration):
    dependencies = [
        ("values", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="BooleanValue",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        help_text="The part before the first dot is its group.",
                        max_length=100,
                        unique=True,
                    ),
                ),
                (
                    "expected_interval",
                    models.FloatField(
                        blank=True,
                        help_text="Seconds between reports; it is stale after three times that.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(0.001),
                            values.models.validate_finite,
                        ],
                    ),
                ),
                (
                    "reported_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When its source last said what it is, changed or not.",
                        null=True,
                    ),
                ),
                ("value", models.BooleanField(default=False)),
                (
                    "warn_on",
                    models.CharField(
                        blank=True,
                        choices=[("yes", "Yes"), ("no", "No")],
                        db_default="",
                        default="",
                        help_text="Which is a warning.",
                        max_length=3,
                    ),
                ),
                (
                    "critical_on",
                    models.CharField(
                        blank=True,
                        choices=[("yes", "Yes"), ("no", "No")],
                        db_default="",
                        default="",
                        help_text="Which is critical.",
                        max_length=3,
                    ),
                ),
            ],
            options={
                "verbose_name": "yes or no",
                "verbose_name_plural": "yes or no values",
                "ordering": ["name"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="FloatValue",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        help_text="The part before the first dot is its group.",
                        max_length=100,
                        unique=True,
                    ),
                ),
                (
                    "expected_interval",
                    models.FloatField(
                        blank=True,
                        help_text="Seconds between reports; it is stale after three times that.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(0.001),
                            values.models.validate_finite,
                        ],
                    ),
                ),
                (
                    "reported_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When its source last said what it is, changed or not.",
                        null=True,
                    ),
                ),
                (
                    "unit",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="As °C, rpm or %.",
                        max_length=20,
                    ),
                ),
                (
                    "minimum",
                    models.FloatField(
                        blank=True,
                        help_text="The least that may be entered, and where its gauge begins.",
                        null=True,
                        validators=[values.models.validate_finite],
                    ),
                ),
                (
                    "maximum",
                    models.FloatField(
                        blank=True,
                        help_text="The most that may be entered, and where its gauge ends.",
                        null=True,
                        validators=[values.models.validate_finite],
                    ),
                ),
                (
                    "critical_low",
                    models.FloatField(
                        blank=True,
                        help_text="Critical from here downwards.",
                        null=True,
                        validators=[values.models.validate_finite],
                    ),
                ),
                (
                    "warn_low",
                    models.FloatField(
                        blank=True,
                        help_text="A warning from here downwards.",
                        null=True,
                        validators=[values.models.validate_finite],
                    ),
                ),
                (
                    "warn_high",
                    models.FloatField(
                        blank=True,
                        help_text="A warning from here upwards.",
                        null=True,
                        validators=[values.models.validate_finite],
                    ),
                ),
                (
                    "critical_high",
                    models.FloatField(
                        blank=True,
                        help_text="Critical from here upwards.",
                        null=True,
                        validators=[values.models.validate_finite],
                    ),
                ),
                (
                    "value",
                    models.FloatField(default=0.0, validators=[values.models.validate_finite]),
                ),
                (
                    "decimals",
                    models.PositiveSmallIntegerField(
                        db_default=2,
                        default=2,
                        help_text="How many of its decimals are shown.",
                        validators=[django.core.validators.MaxValueValidator(10)],
                    ),
                ),
            ],
            options={
                "verbose_name": "decimal value",
                "verbose_name_plural": "decimal values",
                "ordering": ["name"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="TextValue",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        help_text="The part before the first dot is its group.",
                        max_length=100,
                        unique=True,
                    ),
                ),
                (
                    "expected_interval",
                    models.FloatField(
                        blank=True,
                        help_text="Seconds between reports; it is stale after three times that.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(0.001),
                            values.models.validate_finite,
                        ],
                    ),
                ),
                (
                    "reported_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When its source last said what it is, changed or not.",
                        null=True,
                    ),
                ),
                ("value", models.CharField(blank=True, default="", max_length=500)),
            ],
            options={
                "verbose_name": "text",
                "verbose_name_plural": "texts",
                "ordering": ["name"],
                "abstract": False,
            },
        ),
        migrations.AddField(
            model_name="integervalue",
            name="critical_high",
            field=models.FloatField(
                blank=True,
                help_text="Critical from here upwards.",
                null=True,
                validators=[values.models.validate_finite],
            ),
        ),
        migrations.AddField(
            model_name="integervalue",
            name="critical_low",
            field=models.FloatField(
                blank=True,
                help_text="Critical from here downwards.",
                null=True,
                validators=[values.models.validate_finite],
            ),
        ),
        migrations.AddField(
            model_name="integervalue",
            name="expected_interval",
            field=models.FloatField(
                blank=True,
                help_text="Seconds between reports; it is stale after three times that.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(0.001),
                    values.models.validate_finite,
                ],
            ),
        ),
        migrations.AddField(
            model_name="integervalue",
            name="maximum",
            field=models.FloatField(
                blank=True,
                help_text="The most that may be entered, and where its gauge ends.",
                null=True,
                validators=[values.models.validate_finite],
            ),
        ),
        migrations.AddField(
            model_name="integervalue",
            name="minimum",
            field=models.FloatField(
                blank=True,
                help_text="The least that may be entered, and where its gauge begins.",
                null=True,
                validators=[values.models.validate_finite],
            ),
        ),
        migrations.AddField(
            model_name="integervalue",
            name="reported_at",
            field=models.DateTimeField(
                blank=True,
                help_text="When its source last said what it is, changed or not.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="integervalue",
            name="unit",
            field=models.CharField(
                blank=True, db_default="", default="", help_text="As °C, rpm or %.", max_length=20
            ),
        ),
        migrations.AddField(
            model_name="integervalue",
            name="warn_high",
            field=models.FloatField(
                blank=True,
                help_text="A warning from here upwards.",
                null=True,
                validators=[values.models.validate_finite],
            ),
        ),
        migrations.AddField(
            model_name="integervalue",
            name="warn_low",
            field=models.FloatField(
                blank=True,
                help_text="A warning from here downwards.",
                null=True,
                validators=[values.models.validate_finite],
            ),
        ),
        migrations.AlterField(
            model_name="integervalue",
            name="name",
            field=models.CharField(
                help_text="The part before the first dot is its group.",
                max_length=100,
                unique=True,
            ),
        ),
        migrations.AddConstraint(
            model_name="integervalue",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("minimum__isnull", True),
                        ("critical_low__isnull", True),
                        ("minimum__lte", models.F("critical_low")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("minimum__isnull", True),
                        ("warn_low__isnull", True),
                        ("minimum__lte", models.F("warn_low")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("minimum__isnull", True),
                        ("warn_high__isnull", True),
                        ("minimum__lte", models.F("warn_high")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("minimum__isnull", True),
                        ("critical_high__isnull", True),
                        ("minimum__lte", models.F("critical_high")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("minimum__isnull", True),
                        ("maximum__isnull", True),
                        ("minimum__lte", models.F("maximum")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("critical_low__isnull", True),
                        ("warn_low__isnull", True),
                        ("critical_low__lte", models.F("warn_low")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("critical_low__isnull", True),
                        ("warn_high__isnull", True),
                        ("critical_low__lte", models.F("warn_high")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("critical_low__isnull", True),
                        ("critical_high__isnull", True),
                        ("critical_low__lte", models.F("critical_high")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("critical_low__isnull", True),
                        ("maximum__isnull", True),
                        ("critical_low__lte", models.F("maximum")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("warn_low__isnull", True),
                        ("warn_high__isnull", True),
                        ("warn_low__lte", models.F("warn_high")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("warn_low__isnull", True),
                        ("critical_high__isnull", True),
                        ("warn_low__lte", models.F("critical_high")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("warn_low__isnull", True),
                        ("maximum__isnull", True),
                        ("warn_low__lte", models.F("maximum")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("warn_high__isnull", True),
                        ("critical_high__isnull", True),
                        ("warn_high__lte", models.F("critical_high")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("warn_high__isnull", True),
                        ("maximum__isnull", True),
                        ("warn_high__lte", models.F("maximum")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("critical_high__isnull", True),
                        ("maximum__isnull", True),
                        ("critical_high__lte", models.F("maximum")),
                        _connector="OR",
                    ),
                ),
                name="integervalue_limits_rise",
                violation_error_message="Limits must not be less than those below them.",
            ),
        ),
        migrations.AddConstraint(
            model_name="booleanvalue",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("warn_on", ""),
                    models.Q(("warn_on", models.F("critical_on")), _negated=True),
                    _connector="OR",
                ),
                name="booleanvalue_warn_or_critical",
                violation_error_message="One state can't be a warning and critical.",
            ),
        ),
        migrations.AddConstraint(
            model_name="floatvalue",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("minimum__isnull", True),
                        ("critical_low__isnull", True),
                        ("minimum__lte", models.F("critical_low")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("minimum__isnull", True),
                        ("warn_low__isnull", True),
                        ("minimum__lte", models.F("warn_low")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("minimum__isnull", True),
                        ("warn_high__isnull", True),
                        ("minimum__lte", models.F("warn_high")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("minimum__isnull", True),
                        ("critical_high__isnull", True),
                        ("minimum__lte", models.F("critical_high")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("minimum__isnull", True),
                        ("maximum__isnull", True),
                        ("minimum__lte", models.F("maximum")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("critical_low__isnull", True),
                        ("warn_low__isnull", True),
                        ("critical_low__lte", models.F("warn_low")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("critical_low__isnull", True),
                        ("warn_high__isnull", True),
                        ("critical_low__lte", models.F("warn_high")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("critical_low__isnull", True),
                        ("critical_high__isnull", True),
                        ("critical_low__lte", models.F("critical_high")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("critical_low__isnull", True),
                        ("maximum__isnull", True),
                        ("critical_low__lte", models.F("maximum")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("warn_low__isnull", True),
                        ("warn_high__isnull", True),
                        ("warn_low__lte", models.F("warn_high")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("warn_low__isnull", True),
                        ("critical_high__isnull", True),
                        ("warn_low__lte", models.F("critical_high")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("warn_low__isnull", True),
                        ("maximum__isnull", True),
                        ("warn_low__lte", models.F("maximum")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("warn_high__isnull", True),
                        ("critical_high__isnull", True),
                        ("warn_high__lte", models.F("critical_high")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("warn_high__isnull", True),
                        ("maximum__isnull", True),
                        ("warn_high__lte", models.F("maximum")),
                        _connector="OR",
                    ),
                    models.Q(
                        ("critical_high__isnull", True),
                        ("maximum__isnull", True),
                        ("critical_high__lte", models.F("maximum")),
                        _connector="OR",
                    ),
                ),
                name="floatvalue_limits_rise",
                violation_error_message="Limits must not be less than those below them.",
            ),
        ),
    ]
