"""Rows by their keys, with statements that are made once.

Django makes the SQL of each query anew, which takes longer than all else that is done for a row
that has changed. Most bindings see all of their model's table, so what is asked for a few keys is
always the same. It is kept for just these: what a developer makes of his queryset may be another
one each time, and is asked as it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from django.db import connections
from django.db.models import Model, QuerySet
from django.db.models.lookups import In
from django.db.models.query import ModelIterable
from django.db.models.sql import Query

#: What a queryset of a class that has its own of these gives may be anything.
_METHODS = ("_chain", "_clone", "_filter_or_exclude", "_iterator", "filter", "iterator", "using")


class _Statement(NamedTuple):
    compiler: Any
    text: str
    #: Names of the columns' fields.
    fields: list[str]
    #: What makes of the database's values those of the fields, by the place of the column.
    converters: dict[int, Any]


class Statements:
    """Those for one database, through the calling thread's connection."""

    #: Of so many keys at most; with more of them the statement is the lesser part.
    most_keys = 8

    def __init__(self, alias: str) -> None:
        self._connection = connections[alias]
        self._made: dict[tuple[type[Model], int], _Statement | None] = {}

    def rows(self, queryset: QuerySet[Any], keys: Sequence[Any]) -> Iterator[Model] | None:
        """Those with these keys, in any order; None: it is to be asked as it stands."""
        model = queryset.model
        if len(keys) > self.most_keys or not _whole(queryset):
            return None
        place = model, len(keys)
        if place not in self._made:
            self._made[place] = self._make(model, keys)
        statement = self._made[place]
        if statement is None:
            return None
        pk = model._meta.pk
        values = [
            pk.get_db_prep_value(pk.get_prep_value(key), self._connection, prepared=True)
            for key in keys
        ]
        with self._connection.cursor() as cursor:
            cursor.execute(statement.text, values)
            found: Any = cursor.fetchall()
        if statement.converters:
            found = statement.compiler.apply_converters(found, statement.converters)
        return (model.from_db(self._connection.alias, statement.fields, row) for row in found)

    def _make(self, model: type[Model], keys: Sequence[Any]) -> _Statement | None:
        rows: QuerySet[Any] = QuerySet(model, using=self._connection.alias)
        query = rows.filter(pk__in=keys).order_by().query
        compiler: Any = query.get_compiler(connection=self._connection)
        text, values = compiler.as_sql()
        if len(values) != len(keys):
            return None  # A key comes twice, or a column is asked for in a way of its own.
        columns = [column for column, *_ in compiler.select]
        names = [column.target.attname for column in columns]
        return _Statement(compiler, text, names, compiler.get_converters(columns))


def _whole(queryset: QuerySet[Any]) -> bool:
    """Is it all rows of a table, with all of their columns and nothing else?"""
    query, pk = queryset.query, queryset.model._meta.pk
    kind: Any = type(queryset)
    plain: QuerySet[Any] = QuerySet(queryset.model)
    return bool(
        type(query) is Query
        and queryset._iterable_class is ModelIterable
        and not query.where
        and not query.annotations
        and not query.extra
        and not query.extra_tables
        and not query.select
        and not query.select_related
        and not query.distinct
        and not query.combinator
        and not query.is_sliced
        and not query.select_for_update
        and query.group_by is None
        and query.default_cols
        and query.deferred_loading == (frozenset(), True)
        and not queryset._prefetch_related_lookups  # type: ignore[attr-defined]
        and not queryset.model._meta.parents
        and not pk.is_relation
        and pk.get_lookup("in") is In
        and getattr(queryset, "_fetch_mode", None) is getattr(plain, "_fetch_mode", None)
        and all(getattr(kind, name) is getattr(QuerySet, name) for name in _METHODS)
    )
