"""Accounts, as sessions and middlewares name them: read together, in a query or two.

Nothing here writes: Django's own `get_user` would give a session another key where the secret key
was rotated, of which a websocket's browser never hears.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings as django_settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
    load_backend,
)
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db import DatabaseError, InterfaceError
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from databinding.bearers import is_account
from databinding.parts import halved, parts
from databinding.stray import caught

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

    User = AbstractBaseUser | AnonymousUser


def users_of(scopes: Sequence[Mapping[str, Any]], *, fill: bool = False) -> list[User | Exception]:
    """Who these connections are now: by their sessions, or as some other middleware said.

    Of whom that can't be told, by the fault of a backend of the project's: what it raised. With
    `fill` the scopes' sessions hold what is stored of them from now on, without asking again.
    """
    stored = _stored([_session_key(scope) for scope in scopes])
    if fill:
        for scope in scopes:
            _fill(scope["session"], stored)
    claims = [_claim(scope, stored) for scope in scopes]
    by_backend: dict[str | None, set[Hashable]] = defaultdict(set)
    for claim in claims:
        if isinstance(claim, _Claim):
            by_backend[claim.backend].add(claim.user)
    accounts = {backend: _accounts(backend, keys) for backend, keys in by_backend.items()}
    return [
        claim.checked(accounts[claim.backend]) if isinstance(claim, _Claim) else claim
        for claim in claims
    ]


class _Claim(NamedTuple):
    """Whose connection it is said to be."""

    user: Hashable
    #: By which of Django's authentication backends; None: by none.
    backend: str | None = None
    #: What the session was signed with; None: it's no session.
    session_hash: str | None = None

    def checked(self, accounts: Mapping[Hashable, Any]) -> User | Exception:
        user: User | Exception | None = accounts.get(self.user)
        if isinstance(user, Exception):
            return user
        if user is None or (self.session_hash is not None and not self._proves(user)):
            return AnonymousUser()
        return user

    def _proves(self, user: Any) -> bool:
        # As Django does; the fallbacks are of secret keys that were rotated.
        if not hasattr(user, "get_session_auth_hash"):
            return True
        hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
        return any(constant_time_compare(self.session_hash or "", one) for one in hashes)


def _session_key(scope: Mapping[str, Any]) -> str | None:
    session = scope.get("session")
    key: str | None = None if session is None else session.session_key
    return key


def _claim(
    scope: Mapping[str, Any], stored: Mapping[str | None, Mapping[str, Any]]
) -> _Claim | User:
    """What is to be looked up; or who it is, where there is nothing to."""
    if scope.get("session") is not None:
        data = stored.get(_session_key(scope), {})
        backend = data.get(BACKEND_SESSION_KEY)
        if SESSION_KEY not in data or backend not in django_settings.AUTHENTICATION_BACKENDS:
            return AnonymousUser()
        try:
            user = get_user_model()._meta.pk.to_python(data[SESSION_KEY])
        except ValidationError:
            return AnonymousUser()
        return _Claim(user, backend, data.get(HASH_SESSION_KEY, ""))
    # Some other middleware said who it is; it stays so for as long as the account is active.
    said: User | None = scope.get("user")
    if said is None or not said.is_authenticated:
        return AnonymousUser()
    return _Claim(said.pk) if is_account(said) else said


def _stored(keys: Iterable[str | None]) -> dict[str | None, Mapping[str, Any]]:
    """What is in the sessions with these keys that haven't ended."""
    wanted = {key for key in keys if key}
    if not wanted:
        return {}
    store: Any = import_module(django_settings.SESSION_ENGINE).SessionStore
    if not hasattr(store, "get_model_class"):
        return {key: store(key).load() for key in wanted}
    # Those that are kept in the database, with or without a cache before it, are read together.
    sessions = store.get_model_class()._default_manager
    reader = store()
    found: dict[str | None, Mapping[str, Any]] = {}
    for some in parts(wanted):
        rows = sessions.filter(session_key__in=some, expire_date__gt=timezone.now())
        # Not when they end, which SQL may have made a time that Python has no word for.
        texts = rows.values_list("session_key", "session_data")
        found.update((key, reader.decode(text)) for key, text in texts)
    return found


def _fill(session: Any, stored: Mapping[str | None, Mapping[str, Any]]) -> None:
    """As the session's own `load` would."""
    data = stored.get(session.session_key)
    if not data:
        # It isn't there, or not any more: whoever stores something begins another.
        session._session_key = None
    session._session_cache = dict(data or {})


def _accounts(backend: str | None, keys: Collection[Hashable]) -> Mapping[Hashable, Any]:
    """The accounts that may be used, by primary key; or what was raised when one was asked for."""
    if backend is None:
        them = users_by_key(keys).items()
        return {key: user for key, user in them if isinstance(user, Exception) or user.is_active}
    asked: Any = load_backend(backend)
    ask = asked.get_user
    if type(asked).get_user is ModelBackend.get_user:
        known = users_by_key(keys)  # As that does, for all of them at once.

        def ask(key: Hashable) -> Any:
            user = known.get(key)
            if isinstance(user, Exception):
                raise user
            return user if user is not None and asked.user_can_authenticate(user) else None

    return {key: _answer(ask, key) for key in keys}


def _answer(ask: Callable[[Hashable], Any], key: Hashable) -> Any:
    try:
        return caught(lambda: ask(key))
    except Exception as error:
        raise_if_away(error)
        return error


def raise_if_away(error: Exception) -> None:
    """Raise another one where the accounts' database is away: then nobody can be told of."""
    if isinstance(error, (DatabaseError, InterfaceError)):
        get_user_model()._default_manager.exists()


def users_by_key(keys: Collection[Hashable]) -> Mapping[Any, AbstractBaseUser | Exception]:
    """Users as they are now, by primary key; of whose row can't be read, what reading it raised."""
    found: dict[Any, AbstractBaseUser | Exception] = {}

    def ask(keys: list[Hashable]) -> Mapping[Any, AbstractBaseUser | Exception]:
        return get_user_model()._default_manager.in_bulk(keys)

    for some in parts(keys):
        for those in halved(some, ask, raise_if_away, lambda key, error: {key: error}):
            found.update(those)
    return found
