from django.contrib import admin

from databinding.admin import LiveAdminMixin

from .models import LIMITS, BooleanValue, FloatValue, IntegerValue, TextValue


class ValueAdmin(LiveAdminMixin, admin.ModelAdmin):
    """What the kinds have in common: name and value, the value edited in the list."""

    list_display = ["name", "value"]
    list_editable = ["value"]
    search_fields = ["name"]
    readonly_fields = ["reported_at"]
    #: Beside name and value.
    details = []
    #: What tells a warning, and where it ends.
    thresholds = []

    def get_fieldsets(self, request, obj=None):
        return [
            (None, {"fields": ["name", "value", *self.details]}),
            *([("Limits", {"fields": self.thresholds})] if self.thresholds else []),
            ("Freshness", {"fields": ["expected_interval", "reported_at"]}),
        ]


@admin.register(IntegerValue)
class IntegerValueAdmin(ValueAdmin):
    list_display = ["name", "value", "unit"]
    details = ["unit"]
    thresholds = LIMITS


@admin.register(FloatValue)
class FloatValueAdmin(IntegerValueAdmin):
    details = ["unit", "decimals"]


@admin.register(BooleanValue)
class BooleanValueAdmin(ValueAdmin):
    list_filter = ["value"]
    thresholds = ["warn_on", "critical_on"]


@admin.register(TextValue)
class TextValueAdmin(ValueAdmin):
    search_fields = ["name", "value"]
