"""What a user's permissions hang on, so that it is seen when they may have changed."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, Group, PermissionsMixin
from django.db.models import Model

from databinding.bearers import Bearer, key_of, said_of
from databinding.conf import settings
from databinding.form import Form
from databinding.identity import Scope, current_users
from databinding.parts import parts
from databinding.routers import consistent_reads
from databinding.stray import caught
from databinding.threads import Together

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

    User = AbstractBaseUser | AnonymousUser

logger = logging.getLogger("databinding")

#: A new password says nothing of its user's rights: it ends his sessions by itself.
_PASSWORD = "password"

#: Of who isn't known.
NOBODYS = ""
_UNCERTAIN = "?"


class Known(NamedTuple):
    """Who somebody is now; `rights` change with his account, groups and permissions.

    `moved`: his audience key for something that he is shown is another one, whatever that hangs on.
    """

    user: AbstractBaseUser | AnonymousUser
    rights: str
    moved: bool = False


class Basis:
    """The rights on which all that a connection is shown rests.

    They may change between one use of them and the next, and back before anybody looks: what rests
    on different ones, or on none that is known for certain, is to be asked anew.
    """

    def __init__(self) -> None:
        # None: nothing is shown yet. The empty text is nobody's rights.
        self._rights: str | None = None
        # Several streams may ask at once, each in a thread.
        self._noting = threading.Lock()

    def use(self, user: AbstractBaseUser | AnonymousUser) -> None:
        """Something is about to be shown to this user. Asks the database.

        To be called before his rights are asked for: what changes after that is seen.
        """
        self.rest_on(rights_of([user]).get(key_of(user), NOBODYS))

    def rest_on(self, rights: str) -> None:
        """As `use`, of a user whose rights are known."""
        with self._noting:
            self._rights = rights if self._rights in (None, rights) else _UNCERTAIN

    def holds(self, known: Known) -> bool:
        return not known.moved and self._rights in (None, known.rights)

    def renew(self, known: Known) -> None:
        """Everything is asked anew, from now on."""
        self._rights = known.rights

    def doubt(self) -> None:
        """Not everything could be asked anew."""
        self._rights = _UNCERTAIN


def look(
    scopes: Sequence[Mapping[str, Any]], shown: Sequence[Iterable[Form]]
) -> list[Known | None]:
    """Who these connections are now, each shown these forms; None: that can't be told just now."""
    found = current_users(scopes)
    for fault in {id(user): user for user in found if isinstance(user, Exception)}.values():
        logger.error("Whose credentials these are can't be told; trying again.", exc_info=fault)
    users = [None if isinstance(user, Exception) else user for user in found]
    rights = rights_of(user for user in users if user is not None)
    keeps: dict[tuple[Any, Form], bool] = {}

    def moved(user: Any, forms: Iterable[Form]) -> bool:
        asked = [(key_of(user), form) for form in forms if form.personal]
        for one in asked:
            if one not in keeps:
                keeps[one] = _keeps(user, one[1])
        return not all(keeps[one] for one in asked)

    def known(user: Any, forms: Iterable[Form]) -> Known:
        return Known(user, rights.get(key_of(user), NOBODYS), moved(user, forms))

    return [
        None if user is None else known(user, forms)
        for user, forms in zip(users, shown, strict=True)
    ]


def _arrived(asked: Sequence[tuple[Scope, User | None]]) -> list[Known | Exception]:
    with consistent_reads():
        found = iter(current_users([scope for scope, user in asked if user is None]))
        users = [next(found) if user is None else user for _, user in asked]
        rights = rights_of(user for user in users if not isinstance(user, Exception))
    return [
        user if isinstance(user, Exception) else Known(user, rights.get(key_of(user), NOBODYS))
        for user in users
    ]


#: Who somebody is, by a scope and the user if that is known already; or why it can't be told.
#: Those who ask at the same time are looked up together.
arrived = Together(_arrived)


async def basis_for(scope: Scope) -> Basis:
    """What all that a connection is shown rests on, to be asked for before its groups are: those
    may hang on the rights of its user, too, however much later it subscribes."""
    basis = Basis()
    user = scope.get("user")
    if user is not None and user.is_authenticated:
        try:
            found = await arrived((scope, user))
        except Exception:
            logger.warning("A connection's rights can't be told; trying again.", exc_info=True)
            found = None
        if isinstance(found, Known):
            basis.rest_on(found.rights)
        else:
            basis.doubt()
    return basis


def _keeps(user: Any, form: Form) -> bool:
    """Is it still his form? Where that can't be told everything is asked anew, and tells why."""
    try:
        return caught(lambda: form.is_of(user))
    except Exception:
        return False


def rights_of(users: Iterable[AbstractBaseUser | AnonymousUser]) -> dict[Any, str]:
    """By `key_of` those who are known, a short hash of what a user's permissions hang on.

    That is his account, but for the fields of RIGHTS_IGNORE, his groups and his permissions, as
    Django's own tables have them; of who has no account, what is said of him.
    """
    by_key: dict[Any, Any] = {key_of(user): user for user in users if user.is_authenticated}
    accounts = [key for key in by_key if not isinstance(key, Bearer)]
    granted = _granted(accounts) if issubclass(get_user_model(), PermissionsMixin) else {}
    return {
        key: hashlib.sha256(
            repr((_account(user), sorted(granted.get(key, ())))).encode()
        ).hexdigest()[:16]
        for key, user in by_key.items()
    }


def _account(user: Any) -> list[str]:
    if not isinstance(user, Model):
        return list(said_of(user))
    ignored = {_PASSWORD, *settings.RIGHTS_IGNORE}
    fields = user._meta.concrete_fields
    names = [field.attname for field in fields if field.name not in ignored]
    return [repr(getattr(user, name, None)) for name in names]


def _granted(keys: list[Any]) -> dict[Any, set[tuple[str, str]]]:
    """By user, his groups, his permissions and those of his groups."""
    model: Any = get_user_model()
    found: dict[Any, set[tuple[str, str]]] = defaultdict(set)
    members: dict[Any, list[Any]] = defaultdict(list)
    for user, group in _pairs(model._meta.get_field("groups"), keys):
        found[user].add(("group", str(group)))
        members[group].append(user)
    for user, permission in _pairs(model._meta.get_field("user_permissions"), keys):
        found[user].add(("permission", str(permission)))
    for group, permission in _pairs(Group._meta.get_field("permissions"), list(members)):
        for user in members[group]:
            found[user].add((f"permission of {group}", str(permission)))
    return found


def _pairs(field: Any, keys: Collection[Any]) -> Iterable[tuple[Any, Any]]:
    """The rows of a many-to-many field's table, for these owners."""
    through = field.remote_field.through._default_manager
    owner, other = field.m2m_field_name(), field.m2m_reverse_field_name()
    for some in parts(keys):
        yield from through.filter(**{f"{owner}__in": some}).values_list(owner, other)
