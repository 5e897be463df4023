"""A live Django admin: `LiveAdminMixin` for any `ModelAdmin` of a bound model.

    from django.contrib import admin
    from databinding.admin import LiveAdminMixin

    @admin.register(IntegerValue)
    class IntegerValueAdmin(LiveAdminMixin, admin.ModelAdmin):
        list_display = ["name", "value"]

It is an app of its own: ``"databinding.admin"`` in INSTALLED_APPS, and a websocket route to
`LiveAdminDemultiplexer`. docs/howto/live-admin.md says more.
"""

from databinding.admin.options import LiveAdminMixin

__all__ = ["LiveAdminMixin"]
