"""Rows in an order, and those that come after a position in it.

A page of a list begins after the last row of the page before, whatever was inserted or deleted
meanwhile, and costs the same however far down it is. OFFSET gives neither.

SQLite's columns hold anything, and it orders rows by what stands there: the same moment as text
with one decimal and with six, a number with more decimals than its field has. Python reads both as
one value, behind which some of the rows would come again, others never. So there a position is of
what the columns hold.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.core.exceptions import FieldError, ValidationError
from django.db import connections, router
from django.db.models import (
    DateField,
    DecimalField,
    F,
    Func,
    Model,
    Q,
    QuerySet,
    TextField,
    TimeField,
    UUIDField,
    Value,
)

from databinding.keys import column

#: The values of a row by which it has its place, the primary key's last.
Position = Sequence[Any]

#: What looks up a value in Python or in SQL may raise of one that can't be.
_NO_VALUE = (ValidationError, TypeError, ValueError, ArithmeticError)


#: Fields of which SQLite's columns may hold other values than those that Python reads.
_READ_OTHERWISE = (DateField, DecimalField, TimeField, UUIDField)


class _Term(NamedTuple):
    name: str
    falling: bool
    fields: tuple[Any, ...]
    #: A row's position has what its column holds, not what Python reads.
    held: bool

    @property
    def nullable(self) -> bool:
        return any(field.null for field in self.fields)

    def expression(self) -> Any:
        # Nulls last, or first when falling, as PostgreSQL's indexes have them.
        nulls = {"nulls_first" if self.falling else "nulls_last": True} if self.nullable else {}
        return F(self.name).desc(**nulls) if self.falling else F(self.name).asc(**nulls)

    @property
    def attribute(self) -> str:
        """Where a row has what its column holds."""
        return f"keyset_of_{self.name.replace('__', '_0_')}"

    def value(self, instance: Model) -> Any:
        if self.held and hasattr(instance, self.attribute):
            return getattr(instance, self.attribute)
        value: Any = instance
        for field in self.fields[:-1]:
            value = getattr(value, field.name, None)
        return getattr(value, self.fields[-1].attname, None)

    def beyond(self, value: Any) -> Q:
        """Those that come later by this term alone."""
        null = Q((f"{self.name}__isnull", True))
        if value is None:
            return ~null if self.falling else Q(pk__in=())
        if self.falling:
            return Q((f"{self.name}__lt", self.compared(value)))
        later = Q((f"{self.name}__gt", self.compared(value)))
        return later | null if self.nullable else later

    def same(self, value: Any) -> Q:
        null = Q((f"{self.name}__isnull", True))
        return null if value is None else Q((self.name, self.compared(value)))

    def compared(self, value: Any) -> Any:
        """What is compared with the column."""
        return Value(value) if self.held and isinstance(value, (str, int, float)) else value

    def parsed(self, value: Any) -> Any:
        if value is None and self.nullable:
            return None
        if value is None or isinstance(value, (list, dict)):
            raise ValueError(f"{value!r} is no value of {self.name}")
        if isinstance(value, str) and "\0" in value:
            raise ValueError("PostgreSQL's texts hold no NUL.")
        if self.held:
            return value
        return column(self.fields[-1]).to_python(value)


class Order:
    """Fields of a model, with ``-`` for falling, and the primary key as the last word.

    ``room__name`` follows foreign keys. Raises `FieldError` for what has no place in an order.
    """

    def __init__(self, model: type[Model], names: Sequence[str] = ()) -> None:
        terms = [_term(model, name) for name in names]
        if not any(len(term.fields) == 1 and term.fields[0].primary_key for term in terms):
            terms.append(_term(model, "pk"))
        self._terms = terms

    def of(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        held: Any = {term.attribute: _held(term.name) for term in self._terms if term.held}
        with_held: QuerySet[Any] = rows.annotate(**held)
        return with_held.order_by(*(term.expression() for term in self._terms))

    def after(self, rows: QuerySet[Any], position: Position) -> QuerySet[Any]:
        """Those of the rows that come after this position."""
        later = Q(pk__in=())
        same = Q()
        for term, value in zip(self._terms, position, strict=True):
            later |= same & term.beyond(value)
            same &= term.same(value)
        first = self._terms[0]
        if len(self._terms) > 1 and not first.nullable:
            # So says the rest, too, but in a way that no index is searched by.
            way = "lte" if first.falling else "gte"
            rows = rows.filter((f"{first.name}__{way}", first.compared(position[0])))
        return rows.filter(later)

    def position(self, instance: Model) -> Position:
        return [term.value(instance) for term in self._terms]

    def text(self, position: Position) -> str:
        """A position as it stands in an address."""
        plain = [
            value if value is None or isinstance(value, (bool, int, float, str)) else _text(value)
            for value in position
        ]
        encoded = json.dumps(plain, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(encoded).decode().rstrip("=")

    def parse(self, text: str) -> Position:
        """Raises `ValueError` for what `text` hasn't made of a position in this order."""
        try:
            values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            if not isinstance(values, list):
                raise ValueError(text)
            return [term.parsed(value) for term, value in zip(self._terms, values, strict=True)]
        except (*_NO_VALUE, binascii.Error, RecursionError) as error:
            raise ValueError(f"{text!r} is no position.") from error


def _held(name: str) -> Func:
    """What a column of SQLite holds. As an expression, since what is a column is converted."""
    return Func(F(name), template="+%(expressions)s", output_field=TextField())


def _text(value: Any) -> str:
    written: str = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return written


def _term(model: type[Model], name: str) -> _Term:
    path = name.removeprefix("-")
    fields: list[Any] = []
    meta: Any = model._meta
    for part in path.split("__"):
        if meta is None:
            raise FieldError(f"{path}: there is nothing behind {fields[-1].name}.")
        try:
            field: Any = meta.pk if part == "pk" else meta.get_field(part)
        except Exception:
            raise FieldError(f"{model.__name__} has no {path}.") from None
        if not getattr(field, "concrete", False) or field.many_to_many:
            raise FieldError(f"{path} has no one value in a row.")
        fields.append(field)
        meta = field.related_model._meta if field.is_relation else None
    sqlite = connections[router.db_for_write(model)].vendor == "sqlite"
    held = sqlite and isinstance(column(fields[-1]), _READ_OTHERWISE)
    return _Term(path, name.startswith("-"), tuple(fields), held)
