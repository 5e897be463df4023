"""Who a connection or a request is, read anew: the one place that says so."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.contrib.auth import get_user, get_user_model
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser


def current_user(scope: Mapping[str, Any]) -> AbstractBaseUser | AnonymousUser:
    """Who this connection is now, read anew: sessions end and rights change while it is open."""
    session = scope.get("session")
    if session is not None:
        request = HttpRequest()
        engine = import_module(django_settings.SESSION_ENGINE)
        request.session = engine.SessionStore(session.session_key)
        return get_user(request)
    user = scope.get("user")
    if user is None or not user.is_authenticated:
        return AnonymousUser()
    # Some other middleware said who it is; it stays so for as long as the account is active.
    found = user.__class__._default_manager.filter(pk=user.pk).first()
    return found if found is not None and found.is_active else AnonymousUser()


def users_by_key(keys: Collection[Hashable]) -> Mapping[Any, AbstractBaseUser]:
    """Users as they are now, by primary key."""
    model = get_user_model()
    return model._default_manager.in_bulk(keys)  # By parts, where the database needs that.
