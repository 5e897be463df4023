"""What would keep a live admin from being live, found by the admin's own checks.

databinding.E030   a live admin of a model without a binding
databinding.E031   a live admin without "databinding.admin" in INSTALLED_APPS
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error

from databinding.binding import registry


def check_live_admin(model_admin: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    model = model_admin.model
    bound = {binding.model._meta.concrete_model for binding in registry}
    if model._meta.concrete_model not in bound:
        found.append(
            Error(
                f"{type(model_admin).__qualname__} is live, but {model.__name__} has no binding: "
                "nothing sees its changes.",
                hint="Declare a binding of the model in some app's bindings.py, and run migrate.",
                obj=type(model_admin),
                id="databinding.E030",
            )
        )
    if not apps.is_installed("databinding.admin"):
        found.append(
            Error(
                f"{type(model_admin).__qualname__} is live, but the app of live admins isn't "
                "installed.",
                hint="Put 'databinding.admin' into INSTALLED_APPS, and run migrate.",
                obj=type(model_admin),
                id="databinding.E031",
            )
        )
    return found
