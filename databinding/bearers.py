"""By what users are known, those included that are no accounts of this project.

An authentication class or a middleware may give anything that has `is_authenticated` and `pk`:
simplejwt's `TokenUser`, say, which is what stands in a token. There is nothing of it to read anew,
so it counts for what it was said to be, until its connection's credentials are asked about again.
Its rights are those that its token was given, not those of its key: who comes with another token
may have others.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from django.contrib.auth import get_user_model

#: What there is of the rights of who is no account.
_SAID = ("pk", "is_active", "is_staff", "is_superuser")


class Bearer:
    """Stands for a user who can't be looked up: equal to no other one's, whatever his key is."""

    __slots__ = ("user",)

    def __init__(self, user: Any) -> None:
        self.user = user

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bearer) and self.user is other.user

    def __hash__(self) -> int:
        return id(self.user)


def is_account(user: Any) -> bool:
    """Is it an account of this project's, or nobody?"""
    nobody = not user.is_authenticated and getattr(user, "pk", None) is None
    return nobody or isinstance(user, get_user_model())


def key_of(user: Any) -> Hashable:
    """An account's primary key; None: nobody's; of anybody else a `Bearer`."""
    return user.pk if is_account(user) else Bearer(user)


def said_of(user: Any) -> tuple[str, ...]:
    """What is known of the rights of who is no account."""
    return tuple(repr(getattr(user, name, None)) for name in _SAID)


def name_of(user: Any) -> Hashable:
    """An account's primary key, or what tells others apart from accounts and each other."""
    if is_account(user):
        key: Hashable = user.pk
        return key
    kind = type(user)
    return f"{kind.__module__}.{kind.__qualname__} {getattr(user, 'pk', None)}"
