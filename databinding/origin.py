"""May a page of this origin open a websocket here? Browsers tell the origin; programs don't."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.http.request import split_domain_port, validate_host

from databinding.conf import settings

_LOCAL = (".localhost", "127.0.0.1", "[::1]")


def allowed(scope: Mapping[str, Any]) -> bool:
    """The host's own origin, ALLOWED_HOSTS and ALLOWED_ORIGINS; and programs, which send none."""
    headers: Iterable[tuple[bytes, bytes]] = scope.get("headers", ())
    found = [value.decode("latin-1") for name, value in headers if name == b"origin"]
    if not found:
        return True
    origin = found[0].lower()
    if origin in settings.ALLOWED_ORIGINS:
        return True
    try:
        host = urlsplit(origin).hostname
    except ValueError:
        return False
    if not host:
        return False
    hosts = list(django_settings.ALLOWED_HOSTS)
    if django_settings.DEBUG and not hosts:
        hosts = list(_LOCAL)
    if "*" in hosts:
        # Any host may be ours; a page's own is the one that it asked.
        asked = [value.decode("latin-1") for name, value in headers if name == b"host"]
        hosts = [split_domain_port(one)[0] for one in asked]
    return validate_host(f"[{host}]" if ":" in host else host, hosts)
