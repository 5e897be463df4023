"""For the root of a project's addresses: ``path("", include("databinding.urls"))``."""

from __future__ import annotations

from importlib.util import find_spec

from django.urls import path

from databinding.health import healthz, readyz

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
]
if find_spec("prometheus_client") is not None:  # the extra "metrics"
    from databinding.metrics import metrics

    urlpatterns.append(path("metrics", metrics, name="metrics"))
