"""The five actions - create, update, delete, list, retrieve - whichever door they come by.

`Actions` are one user's, on one binding and in some groups: every row that they find, answer or
change is one that these groups see. They ask the database; not for an event loop. A websocket
(`databinding.inbound`) and whatever else lets clients write call the same methods, so that what is
permitted, valid or a conflict is the same everywhere.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from django.db import DatabaseError, DataError, InterfaceError, transaction
from django.db.models import Model, QuerySet
from django.http import Http404
from rest_framework import exceptions
from rest_framework.serializers import Serializer

from databinding import idempotency, permission
from databinding.acting import acting
from databinding.admission import valid_limit
from databinding.binding import Binding
from databinding.conf import settings
from databinding.difference import Key
from databinding.form import form_of, repeats
from databinding.keyset import Order, Position
from databinding.legible import (
    UNREADABLE,
    Unreadable,
    UnreadableBeside,
    legible,
    legible_page,
    rest_of,
    row_of,
    unread_with,
)
from databinding.locks import gave_up, lock_rows, wait_at_most
from databinding.refusals import Answer, Changed, refuse
from databinding.serializers import key_said, serializer_class_for
from databinding.throttling import AskedRequest

logger = logging.getLogger("databinding")

#: Rows that are read at once for a list, at most.
_PAGE = 2_000
#: Leaves out rows of a queryset.
Narrow = Callable[[QuerySet[Any]], QuerySet[Any]]


class Performer(Protocol):
    """Says how a row is written, in the transaction of the write; a binding's consumer does."""

    def perform_create(self, serializer: Any) -> None: ...

    def perform_update(self, serializer: Any) -> None: ...

    def perform_delete(self, instance: Any) -> None: ...


class Actions:
    """What one user may do on one binding, in these groups.

    Every method raises Django REST framework's exceptions, `Http404`, or what
    `databinding.refusals.as_api_exception` knows besides.
    """

    def __init__(
        self, binding: type[Binding], user: Any, groups: frozenset[str], performer: Performer
    ) -> None:
        self.binding = binding
        self.form = form_of(binding, user)
        self.user = user
        self.groups = groups
        self.performer = performer

    def create(self, data: Any, idempotency_key: Any = None) -> Answer:
        """Store a row; of several creates with the same key only the first does."""
        self.permit("create")
        with self._writing():
            claim = None
            if idempotency_key is not None:
                claim = idempotency.claim(self.binding, self.user, idempotency_key, data)
                if claim.key is not None:
                    return self._created_before(claim.key)
            serializer = self._valid(None, data)
            self.performer.perform_create(serializer)
            created: Any = serializer.instance
            answer = self._answer_anew(created)
            if claim is not None:
                idempotency.keep(self.binding, claim, created)
            return answer

    def update(self, pk: Any, data: Any, expect: Any = None, *, whole: bool = False) -> Answer:
        """Change the fields that `data` names, if the row is as `expect` says.

        `expect` has values by the names of fields, or is asked about the `Answer` that the row
        would be now. A `whole` update must name every field that is required.
        """
        self._permit_first("update", pk)
        with self._writing():
            # Locked, so that two partial updates of different fields both survive.
            instance = self._visible(pk, lock=True)
            self.permit("update", instance)
            self._expect(instance, expect)
            serializer = self._valid(instance, data, whole=whole)
            self.performer.perform_update(serializer)
            return self._answer_anew(serializer.instance)

    def delete(self, pk: Any, expect: Any = None) -> Key:
        """Also one that can't be read, unless somebody asks for what it holds there."""
        with self._as_far_as_read(pk) as instance:
            self.permit("delete", instance)
        with self._writing(), self._as_far_as_read(pk, lock=True) as instance:
            key = self.binding.key(instance)
            self.permit("delete", instance)
            self._expect(instance, expect)
            self._perform_delete(instance)
        return key

    def retrieve(self, pk: Any) -> Answer:
        return self._answer(self.row(pk))

    def row(self, pk: Any) -> Model:
        """The row itself, of which not all may be said in JSON, for whoever may retrieve it."""
        instance = self._visible(pk)
        self.permit("retrieve", instance)
        return instance

    def rows(self, pks: Iterable[Any]) -> dict[Any, Model]:
        """Those of these rows that there are, by primary key, for whoever may retrieve each."""
        keys = []
        for pk in pks:
            with suppress(Http404):
                keys.append(key_said(self.binding.model, pk))
        found: dict[Any, Model] = {}
        for instance in filter(self._sees, legible(self.form.queryset(), keys)):
            self.permit("retrieve", instance)
            found[instance.pk] = instance
        return found

    def listed(self, after: Any = None, limit: Any = None) -> list[Answer]:
        """The rows by primary key, after this one, so many at most."""
        self.permit("list")
        limit = valid_limit(limit, settings.LIST_LIMIT, settings.LIST_LIMIT)
        position = None if after is None else [key_said(self.binding.model, after, "after")]
        found = self._walk(self.seen(), Order(self.binding.model), position, limit)
        return [answer for _, answer in found]

    def page(
        self, narrow: Narrow, order: Order, after: Position | None, limit: int
    ) -> tuple[list[Answer], Position | None]:
        """Rows in an order after this position, so many at most, and where others follow.

        `narrow` leaves out what isn't asked for.
        """
        self.permit("list")
        rows = narrow(self.seen())
        if repeats(rows):
            rows = self.seen().filter(pk__in=rows.order_by().values("pk"))
        found = list(self._walk(rows, order, after, limit + 1))
        position = order.position(found[limit - 1][0]) if len(found) > limit else None
        return [answer for _, answer in found[:limit]], position

    def _walk(
        self, rows: QuerySet[Any], order: Order, after: Position | None, limit: int
    ) -> Iterator[tuple[Model, Answer]]:
        """Those of the rows that the groups see, so many at most.

        One that can't be read or rendered is left out, as it is on a page: the others have not to
        answer for it.
        """
        rows = order.of(rows)
        size = min(limit, _PAGE)
        # By pages, not by a cursor: outside a transaction a pooler takes that away.
        while True:
            page, keys = _asked(rows if after is None else order.after(rows, after), size)
            for instance in filter(self._sees, page):
                try:
                    answer = self._answer(instance)
                except (DatabaseError, InterfaceError):
                    raise
                except Exception:
                    key = self.binding.key(instance)
                    logger.exception("%s: row %r can't be rendered.", self.form, key)
                    continue
                yield instance, answer
                limit -= 1
                if not limit:
                    return
            if max(len(page), len(keys)) < size:
                return
            if page:
                after = order.position(page[-1])
                size = min(2 * size, _PAGE)  # Many are others'.
            else:
                size *= 2  # It begins with so many that can't be read.

    def permit(self, action: str, row: Model | None = None, *, pk: Key | None = None) -> None:
        """Raises `NotAuthenticated` or `PermissionDenied`, unless the binding grants it."""
        if row is not None:
            pk = self.binding.own_key(row.pk)
        scope = getattr(self.performer, "scope", None)
        permission.check(self.binding, self.user, action, pk, row=row, scope=scope)

    def _permit_first(self, action: str, pk: Any) -> None:
        """Who may not write a row waits for nobody's lock, and holds none."""
        instance = self._visible(pk)
        self.permit(action, instance)

    def permit_other(self, action: str, pk: Any) -> None:
        """`permit` an action besides the five; classes are asked about the row, if it names one.

        Raises `Http404`, too.
        """
        judged = pk is not None and self.binding.permission_classes
        self.permit(action, self._visible(pk) if judged else None, pk=pk)

    def is_unreadable(self, pk: Any) -> bool:
        """Is it a row that these groups see, which can't be read?"""
        try:
            self._visible(pk)
        except Unreadable:
            return True
        except (Http404, exceptions.ValidationError):
            pass
        return False

    def seen(self) -> QuerySet[Any]:
        """Rows among which are all that these groups see."""
        seen = self.form.seen_by(self.groups)
        return self.form.queryset() if seen is None else seen

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction that waits for others only as long as its client would."""
        alias = self.binding.alias()
        try:
            with transaction.atomic(using=alias), acting(self.user):
                wait_at_most(alias, settings.DATABASE_TIMEOUT)
                yield
        except (DataError, OverflowError):
            # What validators let through and the database can't hold: a NUL in JSON, say, or the
            # last hour of the last year in a time zone west of Greenwich.
            raise exceptions.ValidationError(["The database can't hold this."]) from None

    def _visible(self, pk: Any, *, lock: bool = False) -> Model:
        if pk is None:
            raise exceptions.ValidationError({"pk": ["This field is required."]})
        key = key_said(self.binding.model, pk)
        if lock:
            lock_rows(self.binding.model, [key], self.binding.alias())
        try:
            instance: Model | None = row_of(self.form.queryset(), key)
        except Unreadable:
            if not self._sees_unread(key):
                raise Http404 from None
            raise
        if instance is None or not self._sees(instance):
            raise Http404
        return instance

    def _perform_delete(self, instance: Model) -> None:
        """Raises `UnreadableBeside`, too."""
        try:
            # Within: the database can be asked why it failed.
            with transaction.atomic(using=self.binding.alias()):
                self.performer.perform_delete(instance)
        except UNREADABLE as error:
            if gave_up(error) or not unread_with(instance):
                raise
            raise UnreadableBeside from error

    @contextmanager
    def _as_far_as_read(self, pk: Any, *, lock: bool = False) -> Iterator[Model]:
        """The row as `_visible` has it, or what can be read of it.

        Raises `Unreadable`, too, where somebody asks for the rest.
        """
        try:
            instance = self._visible(pk, lock=lock)
        except Unreadable:
            rest = rest_of(self.form.queryset(), key_said(self.binding.model, pk))
            if rest is None:
                raise
        else:
            yield instance
            return
        try:
            yield rest
        except UNREADABLE as error:
            if gave_up(error):
                raise
            raise Unreadable from error

    def _sees(self, instance: Model) -> bool:
        return not self.groups.isdisjoint(self.binding.groups_of(instance))

    def _sees_unread(self, key: Any) -> bool:
        """As `_sees`, of a row that can't be read. Of one that nobody can tell of nobody hears."""
        rest = rest_of(self.form.queryset(), key)
        if rest is not None:
            with suppress(*UNREADABLE):  # `group_names` asks for what can't be.
                return self._sees(rest)
        seen = self.form.seen_by(self.groups)
        return seen is not None and seen.filter(pk=key).exists()

    def _valid(self, instance: Model | None, data: Any, *, whole: bool = False) -> Serializer[Any]:
        if not isinstance(data, Mapping):
            raise exceptions.ValidationError({"data": ["This must be an object."]})
        serializer_class = serializer_class_for(self.binding)
        partial = instance is not None and not whole
        scope = getattr(self.performer, "scope", None) or {}
        request = AskedRequest(scope, self.user, "create" if instance is None else "update")
        context = {"request": request}
        serializer = serializer_class(instance, data=data, partial=partial, context=context)
        known = {*serializer.fields, *self.binding.extra_names()}
        refuse((name for name in data if name not in known), "There is no such field.")
        writable = self.binding().writable_fields(self.user)
        if writable is not None:
            self._keep(serializer, frozenset(writable), data)
        serializer.is_valid(raise_exception=True)
        key = self.binding.model._meta.pk.name
        if instance is not None and serializer.validated_data.get(key, instance.pk) != instance.pk:
            # Saved with another key it would be another row.
            raise exceptions.ValidationError({key: ["A primary key can't be changed."]})
        return serializer

    def _keep(self, serializer: Any, writable: frozenset[str], data: Mapping[str, Any]) -> None:
        """Leave the serializer those fields that this user may write. Raises `PermissionDenied`."""
        refused = {
            name: ["You may not write this field."]
            for name, field in serializer.fields.items()
            if name in data and name not in writable and not field.read_only
        }
        if refused:
            raise exceptions.PermissionDenied(refused)
        for name in set(serializer.fields) - writable:
            del serializer.fields[name]

    def _expect(self, instance: Model, expect: Any) -> None:
        """The row must still be as the client last saw it, as far as it says so."""
        if expect is None:
            return
        answer = self._answer(instance)
        if callable(expect):
            if not expect(answer):
                raise Changed(answer)
            return
        if not isinstance(expect, Mapping):
            raise exceptions.ValidationError({"expect": ["This must be an object."]})
        refuse((name for name in expect if name not in answer.data), "There is no such field.")
        if any(answer.data[name] != value for name, value in expect.items()):
            raise Changed(answer)

    def _answer(self, instance: Model) -> Answer:
        return Answer(self.binding.key(instance), json.loads(self.form.fragment(instance)))

    def _created_before(self, text: str) -> Answer:
        """The row that the first create with this key has made, as it is now, if it is seen."""
        key = self.binding.key_from_text(text)
        row = row_of(self.form.queryset(), key)
        return Answer(key, None) if row is None or not self._sees(row) else self._answer(row)

    def _answer_anew(self, instance: Any) -> Answer:
        """The row as it was written; no data if it isn't seen (any more)."""
        stored = row_of(self.form.queryset(), instance.pk)
        if stored is None or not self._sees(stored):
            return Answer(self.binding.key(instance), None)
        return self._answer(stored)


def _asked(rows: QuerySet[Any], size: int) -> tuple[list[Model], list[Any]]:
    """The first ones as `legible_page` has them, of rows that a client has narrowed down.

    Raises `ValidationError`.
    """
    try:
        return legible_page(rows, rows[:size])
    except (DataError, OverflowError):
        # What filters let through and the database can't compare with: too large a number, say.
        raise exceptions.ValidationError(["The database can't look for this."]) from None
