"""A binding as the users of one audience key see it: which rows, and what of them.

Most bindings show every user the same and have one form. One whose `get_queryset` or
`readable_fields` looks at its user is *personal*: it has a form for each `audience_key`, which is
asked on behalf of one of the users who are subscribed with that key, as he is in the state of the
database that is being read. While none of them has the key any more, nothing of it is read.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.db.models import ForeignObject, Model, Prefetch, Q, QuerySet

from databinding.bearers import is_account, key_of, said_of
from databinding.binding import Binding
from databinding.fingerprints import fingerprint

#: What `databinding.bearers.key_of` says of a user; None: nobody that is known.
UserKey = Hashable


class Form:
    """One binding as one audience key sees it; equal to others of the same two.

    ``key`` is None and ``user`` unused where the binding isn't personal.
    """

    def __init__(
        self,
        binding: type[Binding],
        key: Hashable = None,
        user: Any = None,
        *,
        personal: bool = False,
    ) -> None:
        self.binding = binding
        self.key = key
        self.personal = personal
        #: Whose subscription it is that is asked for with this form.
        self.asker: UserKey = None if user is None else key_of(user)
        #: On whose behalf the binding is asked; None: nobody has the key (any more).
        self.user = user
        #: Who is subscribed, how often. The relay keeps it, of the form that it holds.
        self.users: Counter[UserKey] = Counter()
        #: Nobody had the key when it was to be read, so it was not: all of it is to be read anew.
        self.vacant = False
        # The rights with which all rows were read, by whose they were; and those that he has now.
        self._rights: dict[UserKey, str] = {}
        self._now = ""
        # Whoever asked last, perhaps for no more than a page.
        self._visitor = self.asker
        self._readable: frozenset[str] | None = None
        self._asked_for: Any = None
        # To make one takes as long as a small row.
        self._encoder: json.JSONEncoder | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Form) and self.binding is other.binding and self._has(other.key)

    def __hash__(self) -> int:
        return hash((self.binding, self.key))

    def _has(self, key: Hashable) -> bool:
        # `user.is_staff or user.team_id` must not make staff of team 1: True == 1.
        return type(self.key) is type(key) and self.key == key

    def __str__(self) -> str:
        name = self.binding.__qualname__
        return f"{name} for {self.key!r}" if self.personal else name

    def visit(self, other: Form) -> None:
        """Somebody asks, with a form of his own that equals this one."""
        self._visitor = other.asker

    def joined(self, user: UserKey) -> None:
        """One subscription of this user more."""
        self.users[user] += 1

    def left(self, user: UserKey) -> None:
        """One less."""
        self.users[user] -= 1
        if not self.users[user]:
            del self.users[user]

    def candidates(self) -> list[UserKey]:
        """On whose behalf the binding may be asked, as long as they have the key.

        He on whose behalf it was asked last comes first.
        """
        every = [*self.users, self._visitor]
        last = None if self.user is None else key_of(self.user)
        return list(dict.fromkeys([last, *every] if last in every else every))

    def represent(self, user: Any, rights: str) -> bool:
        """Be asked on behalf of this user as he is now, who has the key; None: nobody has.

        False: with other rights than before, so that rows may be others that haven't changed.
        """
        self.user = user
        if user is None:
            self.vacant = True
            return True
        self._now = rights
        return self._rights.setdefault(key_of(user), rights) == rights

    def read_anew(self) -> None:
        """All rows were read with the rights that there are now."""
        self._rights = {} if self.user is None else {key_of(self.user): self._now}
        self.vacant = False

    def is_of(self, user: Any) -> bool:
        """Is this the user's form, now?"""
        known = not user.is_authenticated or getattr(user, "is_active", True)
        return bool(known and self._has(audience_key_of(self.binding, user)))

    # Rows

    def rows(self) -> QuerySet[Any]:
        """`get_queryset`, as the developer gave it."""
        if self.personal and self.user is None:
            return self.binding.model._default_manager.none()
        return self.binding.rows_for(self.user)

    def queryset(self) -> QuerySet[Any]:
        """`get_queryset` on the writers' database, with what rendering needs read along."""
        return self.prepared(self.rows())

    def prepared(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """On the writers' database, with its many-to-many fields read along from there."""
        theirs: Any = queryset._prefetch_related_lookups  # type: ignore[attr-defined]
        known = {getattr(lookup, "prefetch_to", lookup) for lookup in theirs}
        names = self.binding.many_to_many()
        wanted = [self._related(name) for name in names if name not in known]
        queryset = queryset.using(self.binding.alias())
        return queryset.prefetch_related(*wanted) if wanted else queryset

    def _related(self, name: str) -> Prefetch[Any]:
        field: Any = self.binding.model._meta.get_field(name)
        rows: QuerySet[Any] = field.related_model._default_manager.using(self.binding.alias())
        # In whatever order the database likes, the same rows would look like news.
        return Prefetch(name, rows if rows.ordered else rows.order_by("pk"))

    def seen_by(self, groups: Iterable[str]) -> QuerySet[Any] | None:
        """The rows that these groups see; None if only `group_names` of each row tells."""
        constant = self.binding.constant_groups()
        if constant is not None:
            return self.queryset() if not constant.isdisjoint(groups) else self.queryset().none()
        parts = [self.of_group(group) for group in groups]
        if len(parts) == 1:
            return parts[0]
        seen = Q(pk__in=())
        for part in parts:
            if part is None:
                return None
            seen |= Q(pk__in=part.order_by().values("pk"))
        return self.queryset().filter(seen)

    def of_group(self, group: str) -> QuerySet[Any] | None:
        """`rows`, each once, as `get_queryset` gives them; without those that it hides."""
        rows = self.binding.rows(group)
        if rows is None:
            return None
        query = self.rows().query
        plain = not query.annotations and not query.extra
        if plain and self.sees_all() and not repeats(rows):
            return self.prepared(rows)  # The same, in a simpler query.
        alias = self.binding.alias()
        return self.queryset().filter(pk__in=rows.order_by().using(alias).values("pk"))

    def ordered(self, groups: Iterable[str]) -> QuerySet[Any]:
        """The rows that these groups see, in the binding's order."""
        rows = self.seen_by(groups)
        if rows is None:
            name = self.binding.__qualname__
            raise ImproperlyConfigured(f"{name} has order_by, so it must have rows().")
        return rows.order_by(*self.binding.total_order())

    def sees_all(self) -> bool:
        """Is every row of the model one of the form's? Else a key may name a hidden row."""
        query = self.rows().query
        return not self.personal and not query.where and not query.is_sliced

    # What of them

    def fragment(self, instance: Model) -> str:
        """The row's JSON text. Raises whatever `serialize_data` raises."""
        data = self.binding().serialize_data(instance)
        readable = self.readable()
        if readable is not None:
            data = {name: value for name, value in data.items() if name in readable}
        if self._encoder is None:
            self._encoder = self.binding.encoder(separators=(",", ":"), allow_nan=False)
        return self._encoder.encode(data)

    def readable(self) -> frozenset[str] | None:
        """Names in the data that are sent; None: all of them."""
        if not self.personal:
            return None
        if self.user is None:
            return frozenset()
        if self._asked_for is not self.user:
            names = self.binding().readable_fields(self.user)
            self._readable = None if names is None else frozenset(names)
            self._asked_for = self.user
        return self._readable

    def digest(self) -> str:
        """What determines a fragment, as a short hash: a cursor of another form is void.

        So is one of a former version of the project, whose code made something else of the rows.
        """
        binding = self.binding
        described = (
            repr(binding.serializer_class())
            if binding.serializer_class is not None
            else ",".join(binding.field_names())
        )
        described = " ".join((described, *binding.extra_names(), *binding.order_by))
        if self.personal:
            described += f" {self.key} {sorted(self.readable() or ())}"
        described += f" {_version(binding)}"
        text = f"{binding.__module__}.{binding.__qualname__} {binding.label()} {described}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


#: Of each binding's code, which doesn't change while a process lives.
_versions: dict[type[Binding], str] = {}


def _version(binding: type[Binding]) -> str:
    """Of the code that says which rows a binding has, and what is sent of them."""
    if binding not in _versions:
        model = binding.model
        classes = [binding, model, type(model._default_manager)]
        if binding.serializer_class is not None:
            classes += _serializing(binding.serializer_class())
        _versions[binding] = fingerprint(classes)
    return _versions[binding]


def _serializing(field: Any) -> Iterator[type]:
    """The classes of a serializer, its fields and theirs."""
    yield type(field)
    inner = [*getattr(field, "fields", {}).values(), getattr(field, "child", None)]
    for one in inner:
        if one is not None:
            yield from _serializing(one)


def nobody() -> Any:
    """The user who isn't logged in."""
    # Not before the apps are loaded: who imports `databinding.testing` sets them up after that.
    from django.contrib.auth.models import AnonymousUser

    return AnonymousUser()


def form_of(binding: type[Binding], user: Any) -> Form:
    """The form in which this user sees the binding. Raises what the binding raises."""
    if not binding.is_personal():
        return Form(binding)
    return Form(binding, audience_key_of(binding, user), user, personal=True)


class _Borne(NamedTuple):
    """The audience key of a user that is no account: an account may have the same, and so may
    another token's bearer who was given other rights."""

    kind: type
    key: Hashable
    said: tuple[str, ...]

    def __str__(self) -> str:
        return f"bearer {self.key}"


def audience_key_of(binding: type[Binding], user: Any) -> Hashable:
    """By which a form is this user's. Raises what the binding raises."""
    key: Hashable = binding().audience_key(user)
    return key if is_account(user) else _Borne(type(key), key, said_of(user))


def repeats(rows: QuerySet[Any]) -> bool:
    """May a row come more than once? So it may by a join that isn't to the one row it refers to."""
    joins = (getattr(table, "join_field", None) for table in rows.query.alias_map.values())
    return not rows.query.distinct and any(
        join is not None and not isinstance(join, ForeignObject) and not join.one_to_one
        for join in joins
    )
