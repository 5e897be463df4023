"""Which tables the rows of a binding depend on, and how a change there names them.

A binding depends on the tables of its model, on those of its many-to-many fields, and on whatever
its `watch` declares:

    watch = ["room"]            # a message shows something of its room
    watch = ["room__name"]      # … its name alone
    watch = ["messages"]        # a room shows something of its messages
    watch = ["room__site"]      # two steps; both tables count
    watch = [Membership]        # any change there may touch any row

A changed row of a watched table is journalled by a value that it holds itself: its own primary
key, or its foreign key towards the bound model, old and new. Which rows depend on it is asked when
the journal is read, in the reader's snapshot, not when it is written: a writer doesn't see what
others are about to commit, so it can't name every row that will show its change. Where links of a
path have changed since, their own changes are journalled, too: of the links that a row had before,
those between it and the nearest change are still there, so nobody is missed.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import transaction
from django.db.models import ForeignKey, ManyToManyField, Model
from django.db.models.fields.reverse_related import ManyToManyRel, ManyToOneRel

from databinding.binding import Binding, bindings_of
from databinding.keys import from_text
from databinding.models import JournalEntry
from databinding.parts import parts

logger = logging.getLogger("databinding")

#: Between the label of a bound model and the lookup by which a journalled value names its rows.
_BY = ":"
_LONGEST: int = JournalEntry._meta.get_field("model").max_length or 0


class Unwatchable(Exception):
    """An entry of `watch` that leads nowhere; says why."""


class Watch(NamedTuple):
    """Changes in the table of `model` are journalled as `label`, with the value of `field`.

    Without a field they may touch any row. If there are `fields`, an update counts only if it
    changes one of those, or `field` itself.
    """

    model: type[Model]
    field: Any
    label: str
    fields: tuple[Any, ...] | None = None

    @property
    def table(self) -> str:
        return self.model._meta.db_table

    @property
    def column(self) -> str | None:
        return None if self.field is None else str(self.field.column)

    @property
    def columns(self) -> list[str] | None:
        """Which updates count; None: all."""
        return None if self.fields is None else [str(field.column) for field in self.fields]

    @property
    def identity(self) -> list[str]:
        """The columns of the primary key of the table's rows."""
        return [str(field.column) for field in self.model._meta.pk_fields]

    @property
    def bound(self) -> str:
        """The label of the bound model."""
        return self.label.partition(_BY)[0]

    @property
    def direct(self) -> bool:
        """Is the value a primary key of the bound model?"""
        return _BY not in self.label


def watches(alias: str, *, leniently: bool = False) -> list[Watch]:
    """What the bindings of this database depend on, each table and value once.

    Raises what a binding's fields or serializer raise; `leniently` that one is passed over.
    """
    found: dict[tuple[Any, ...], Watch] = {}
    for binding in bindings_of(alias):
        try:
            its = list(watches_of(binding))
        except Exception as error:
            if not leniently:
                raise
            logger.error("%s can't be followed: %s", binding.__qualname__, error)
            continue
        for watch in its:
            known = found.setdefault(watch[:3], watch)
            fields = None
            if known.fields is not None and watch.fields is not None:
                fields = tuple(dict.fromkeys((*known.fields, *watch.fields)))
            found[watch[:3]] = known._replace(fields=fields)
    return list(found.values())


def watches_of(binding: type[Binding]) -> Iterator[Watch]:
    """What one binding depends on. Entries of `watch` that lead nowhere are passed over."""
    root = _Step.root(binding)
    yield from root.tables()
    for name in binding.many_to_many():
        between = root.hop(name).between
        assert between is not None
        yield between
    for entry in binding.watch:
        try:
            yield from watches_by(binding, entry)
        except Unwatchable as error:
            logger.error("%s.watch: %s", binding.__qualname__, error)  # databinding.E011


def watches_by(binding: type[Binding], entry: str | type[Model]) -> list[Watch]:
    """What one entry of `watch` means. Raises `Unwatchable`."""
    if isinstance(entry, str) and "." not in entry:
        return list(_path(binding, entry))
    try:
        model = apps.get_model(entry) if isinstance(entry, str) else entry
        lineage = (_concrete(model), *model._meta.get_parent_list())
    except (LookupError, ValueError, AttributeError):
        raise Unwatchable(f"there is no model {entry!r}.") from None
    return [Watch(one, None, binding.concrete_label()) for one in lineage]


def keys_of(
    binding: type[Binding], keys: dict[str, set[str | None]], limit: int
) -> set[str | None]:
    """The keys of a binding's rows among those journalled; a None among them means any row.

    What is journalled of watched tables is turned, in `keys` as well, into the keys of the rows
    that depend on it, by asking the database; None where those are more than `limit`.
    """
    label = binding.concrete_label()
    found = keys.setdefault(label, set())
    for by in [one for one in keys if one.startswith(label + _BY)]:
        values = {value for value in keys.pop(by) if value is not None}
        if None not in found:
            try:
                with transaction.atomic(using=binding.alias()):
                    found |= _owners(binding, by.partition(_BY)[2], values)
            except Exception:
                logger.exception("%s: whom a change of %s touches.", binding.__qualname__, by)
                found.add(None)
    if len(found) > limit:
        found.add(None)
    return found


def _owners(binding: type[Binding], lookup: str, values: Collection[str]) -> set[str]:
    alias = binding.alias()
    rows = _concrete(binding.model)._base_manager.using(alias).order_by()
    found: set[str] = set()
    target = _target(_concrete(binding.model), lookup)
    for some in parts(from_text(target, value, alias) for value in values):
        those = rows.filter(**{f"{lookup}__in": some})
        pks = those.values_list("pk", flat=True).distinct()
        found.update(map(binding.text_from_key, pks))
    return found


def _target(model: Any, lookup: str) -> Any:
    """The field at the end of a lookup."""
    field: Any = None
    for name in lookup.split("__"):
        model = model if field is None else field.related_model
        field = model._meta.pk if name == "pk" else model._meta.get_field(name)
    return field


# Paths


def _concrete(model: Any) -> type[Model]:
    concrete: type[Model] | None = model._meta.concrete_model
    assert concrete is not None
    return concrete


def _path(binding: type[Binding], path: str) -> Iterator[Watch]:
    """Every table on the way counts; if it ends in a column, then that alone, and the links."""
    step = _Step.root(binding)
    hops: list[_Hop] = []
    names = path.split("__")
    column: Any = None
    for name in names:
        if column is not None:
            raise Unwatchable(f"{path!r} goes on after a column.")
        if hops and step.has_column(name):
            column = step.model._meta.get_field(name)
        else:
            hops.append(step.hop(name))
            step = hops[-1].step
    for hop, following in zip(hops, [*hops[1:], None], strict=True):
        counting = None
        if column is not None:
            counting = column if following is None else following.field
        yield from hop.tables(counting)


class _Step:
    """The rows of `model` that are reached from those of a bound model by a lookup."""

    def __init__(self, model: type[Model], label: str, prefix: str) -> None:
        self.model = model
        self._label = label
        self._prefix = prefix

    @classmethod
    def root(cls, binding: type[Binding]) -> _Step:
        return cls(_concrete(binding.model), binding.concrete_label(), "")

    def has_column(self, name: str) -> bool:
        """Does the path end here? ``room`` is a relation, ``room_id`` the column that holds it."""
        try:
            field: Any = self.model._meta.get_field(name)
        except FieldDoesNotExist:
            return False
        return bool(field.concrete and (not field.is_relation or name != field.name))

    def hop(self, name: str) -> _Hop:
        """Along a relation. Raises `Unwatchable`."""
        try:
            field: Any = self.model._meta.get_field(name)
        except FieldDoesNotExist:
            raise Unwatchable(f"{self.model.__name__} has no {name!r}.") from None
        if isinstance(field, ForeignKey):
            return self._hop(field, None)
        if isinstance(field, ManyToOneRel):
            return self._hop(field, field.field)
        if isinstance(field, ManyToManyField):
            through: Any = field.remote_field.through
            return self._hop(field, through._meta.get_field(field.m2m_field_name()))
        if isinstance(field, ManyToManyRel):
            relation: Any = field.field
            through = field.through
            return self._hop(field, through._meta.get_field(relation.m2m_reverse_field_name()))
        raise Unwatchable(
            f"{name!r} of {self.model.__name__} is none of the relations that can be followed; "
            "name the model itself."
            if field.is_relation
            else f"{name!r} of {self.model.__name__} is a column, not a relation."
        )

    def _hop(self, field: Any, link: Any) -> _Hop:
        between = None
        if link is not None:
            target = link.target_field
            label = self.by(_concrete(link.remote_field.model), target)
            between = Watch(_concrete(link.model), link, label)
        prefix = f"{self._prefix}{field.name}__"
        return _Hop(field, between, _Step(_concrete(field.related_model), self._label, prefix))

    def by(self, owner: type[Model], target: Any) -> str:
        """The label of values of `target`, a field of `owner`: this model or a parent of it."""
        lookup = self._prefix
        if not target.primary_key:
            lookup += target.name
        elif _has_key_of(self.model, owner):
            lookup += "pk"
        else:
            lookup += f"{self._way_to(owner)}pk"
        label = self._label if lookup == "pk" else f"{self._label}{_BY}{lookup}"
        if len(label) > _LONGEST:
            raise Unwatchable(f"{label!r} is longer than the {_LONGEST} letters of a label.")
        return label

    def _way_to(self, parent: type[Model]) -> str:
        """The links of a multi-table child to a parent whose key isn't its own."""
        model, way = self.model, ""
        while model is not parent:
            link: Any = model._meta.get_ancestor_link(parent)
            way += f"{link.name}__"
            model = _concrete(link.remote_field.model)
        return way

    def tables(self, counting: Any = None, besides: type[Model] | None = None) -> Iterator[Watch]:
        """Those over which the rows are spread: the model's and its parents'."""
        for model in (self.model, *self.model._meta.get_parent_list()):
            fields = _counting(model, counting)
            if model is not besides and fields != ():
                yield Watch(model, model._meta.pk, self.by(model, model._meta.pk), fields)


class _Hop(NamedTuple):
    """`between` watches the table that holds the link, where that is another than the first."""

    field: Any
    between: Watch | None
    step: _Step

    def tables(self, counting: Any) -> Iterator[Watch]:
        """What a path depends on that goes along here; with `counting` on that field alone."""
        besides = None
        if self.between is not None:
            yield self.between._replace(fields=_counting(self.between.model, counting))
            besides = self.between.model
        yield from self.step.tables(counting, besides)


def _counting(model: type[Model], field: Any) -> tuple[Any, ...] | None:
    """Those of a table's fields whose changes count: all (None), or one, if the table has it."""
    if field is None:
        return None
    own: Any = model._meta.local_concrete_fields
    return tuple(one for one in own if one == field)


def _has_key_of(child: type[Model], parent: type[Model]) -> bool:
    model: Any = child
    while model is not parent:
        link = model._meta.pk.remote_field
        if link is None or not link.parent_link:
            return False
        model = _concrete(link.model)
    return True
