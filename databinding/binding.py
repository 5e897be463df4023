"""What a developer declares: a model, a stream, fields, groups, permissions.

    class IntegerValueBinding(WebsocketBinding):
        model = IntegerValue
        stream = "intval"
        fields = ["name", "value"]

        @classmethod
        def group_names(cls, instance):
            return ["intval-updates"]

        def has_permission(self, user, action, pk):
            return user.is_staff

Bindings live in each app's ``bindings.py``, which `databinding.apps` imports in every process.
`Binding` knows nothing of websockets; `databinding.websockets.WebsocketBinding` adds that door.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.core.serializers.json import DjangoJSONEncoder
from django.core.serializers.python import Serializer as PythonSerializer
from django.db import router
from django.db.models import ForeignObject, Model, Prefetch, Q, QuerySet

from databinding.difference import Key

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

#: Every binding class with a model, in the order of their declaration.
registry: list[type[Binding]] = []


class Binding:
    """Declares what of a model is live, for whom, and who may write it.

    Subclasses with a `model` are registered by being declared. The relay calls `get_queryset`,
    `group_names` (or `rows`) and `serialize_data` in a thread of its own, inside a read
    transaction; what they raise leaves that row as it was, for everybody, and is logged.
    """

    model: ClassVar[type[Model]]
    #: The stream's name in a demultiplexer, unless it gives the binding another.
    stream: ClassVar[str | None] = None
    #: Names of the model's fields to send and accept; ``["__all__"]`` for all.
    fields: ClassVar[list[str] | tuple[str, ...] | str | None] = None
    #: Instead of `fields`: all but these.
    exclude: ClassVar[list[str] | tuple[str, ...] | None] = None
    #: Instead of `fields`: a Django REST framework serializer class.
    serializer_class: ClassVar[type[Any] | None] = None
    #: Names of fields, with ``-`` for falling: a subscription is a window on the first `limit`
    #: rows in this order, kept live.
    order_by: ClassVar[list[str] | tuple[str, ...]] = ()
    #: Rows in a window, unless the client asks for another ``limit``, up to `max_limit`.
    limit: ClassVar[int] = 50
    max_limit: ClassVar[int] = 1_000
    #: A Django REST framework serializer class: what a client may say when it subscribes.
    parameters: ClassVar[type[Any] | None] = None
    #: Seconds after which the rows are asked anew, whatever the journal says, and what differs is
    #: sent: so that even writes heal that capture can't see. None: the journal is believed.
    refresh_every: ClassVar[float | None] = None
    #: Django REST framework throttle classes, asked at each request (`databinding.throttling`);
    #: None: those of its settings.
    throttle_classes: ClassVar[list[type[Any]] | tuple[type[Any], ...] | None] = None
    #: JSON encoder of the rows.
    encoder: ClassVar[type[json.JSONEncoder]] = DjangoJSONEncoder

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if getattr(cls, "model", None) is None:
            return
        if cls.fields is None and cls.exclude is None and cls.serializer_class is None:
            raise ImproperlyConfigured(
                f"{cls.__qualname__} must set fields, exclude or serializer_class."
            )
        registry.append(cls)

    # What a developer overrides

    @classmethod
    def group_names(cls, instance: Model) -> Iterable[str]:
        """The groups that see this row, as it is in the database."""
        raise NotImplementedError(f"{cls.__qualname__} must have group_names().")

    @classmethod
    def rows(cls, group: str) -> QuerySet[Any] | None:
        """The rows that this group sees, for loading it; None: `group_names` of each row tells."""
        return None

    def groups_for(
        self,
        user: AbstractBaseUser | AnonymousUser,
        groups: frozenset[str],
        parameters: Mapping[str, Any],
    ) -> Iterable[str]:
        """The groups of a subscription: the connection's, unless its parameters say otherwise.

        `parameters` are valid by the binding's `parameters`. Raise Django REST framework's
        `PermissionDenied` or `ValidationError` for what this user may not see, or what isn't.
        """
        return groups

    @classmethod
    def get_queryset(cls) -> QuerySet[Any]:
        """The rows that exist as far as this binding is concerned."""
        return cls.model._default_manager.all()

    def has_permission(
        self, user: AbstractBaseUser | AnonymousUser, action: str, pk: Key | None
    ) -> bool:
        """May this user do this? Denied unless a binding grants it.

        `action` is ``subscribe``, ``list``, ``retrieve``, ``create``, ``update`` or ``delete``.
        """
        return False

    def serialize_data(self, instance: Model) -> dict[str, Any]:
        """What is sent of a row, as values that `encoder` can write."""
        if self.serializer_class is not None:
            return dict(self.serializer_class(instance).data)
        serializer = _RowSerializer()
        serializer.serialize([instance], fields=self.field_names())
        return serializer.row

    # What the library asks

    @classmethod
    def label(cls) -> str:
        """The model's label as it stands in the journal and in classic frames."""
        return cls.model._meta.label_lower

    @classmethod
    def concrete_label(cls) -> str:
        """The label under which changes are journalled: a proxy's rows are its model's."""
        concrete = cls.model._meta.concrete_model
        assert concrete is not None
        return concrete._meta.label_lower

    @classmethod
    def alias(cls) -> str:
        """The database whose journal tells of this model: the writers', never a replica."""
        return router.db_for_write(cls.model)

    @classmethod
    def field_names(cls) -> list[str]:
        """The declared fields of a binding with `fields` or `exclude`, in the model's order."""
        meta = cls.model._meta
        every: list[Any] = [*meta.concrete_fields, *meta.many_to_many]
        names = [field.name for field in every]
        everything = cls.fields == "__all__" or list(cls.fields or ()) == ["__all__"]
        declared = (cls.exclude or ()) if cls.fields is None else () if everything else cls.fields
        for name in declared:
            if name not in names:
                raise FieldDoesNotExist(f"{cls.__qualname__}: {cls.model.__name__} has no {name}.")
        if cls.fields is None or everything:
            # As Django serializes: without primary keys, which stand beside the data.
            return [field.name for field in every if field.serialize and field.name not in declared]
        return [name for name in names if name in declared]

    @classmethod
    def extra_names(cls) -> list[str]:
        """Names in the data beside the fields, which can't be written."""
        return []

    @classmethod
    def many_to_many(cls) -> list[str]:
        """Declared many-to-many fields: read along with the rows, captured from their tables."""
        if cls.serializer_class is not None:
            return [
                name
                for name in cls.serializer_class().fields
                if any(field.name == name for field in cls.model._meta.many_to_many)
            ]
        related = {field.name for field in cls.model._meta.many_to_many}
        return [name for name in cls.field_names() if name in related]

    @classmethod
    def queryset(cls) -> QuerySet[Any]:
        """`get_queryset` on the writers' database, with what rendering needs read along."""
        return cls.prepared(cls.get_queryset())

    @classmethod
    def prepared(cls, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """On the writers' database, with its many-to-many fields read along from there."""
        theirs: Any = queryset._prefetch_related_lookups  # type: ignore[attr-defined]
        known = {getattr(lookup, "prefetch_to", lookup) for lookup in theirs}
        wanted = [cls._related(name) for name in cls.many_to_many() if name not in known]
        return queryset.using(cls.alias()).prefetch_related(*wanted)

    @classmethod
    def _related(cls, name: str) -> Prefetch[Any]:
        field: Any = cls.model._meta.get_field(name)
        rows: QuerySet[Any] = field.related_model._default_manager.using(cls.alias())
        # In whatever order the database likes, the same rows would look like news.
        return Prefetch(name, rows if rows.ordered else rows.order_by("pk"))

    @classmethod
    def seen_by(cls, groups: Iterable[str]) -> QuerySet[Any] | None:
        """The rows that these groups see; None if only `group_names` of each row tells."""
        constant = cls.constant_groups()
        if constant is not None:
            return cls.queryset() if not constant.isdisjoint(groups) else cls.queryset().none()
        parts = [cls.of_group(group) for group in groups]
        if len(parts) == 1:
            return parts[0]
        seen = Q(pk__in=())
        for part in parts:
            if part is None:
                return None
            seen |= Q(pk__in=part.order_by().values("pk"))
        return cls.queryset().filter(seen)

    @classmethod
    def of_group(cls, group: str) -> QuerySet[Any] | None:
        """`rows`, each once, as `get_queryset` gives them; without those that it hides."""
        rows = cls.rows(group)
        if rows is None:
            return None
        queryset = cls.get_queryset().query
        plain = not queryset.annotations and not queryset.extra
        if plain and cls.sees_all() and not _repeats(rows):
            return cls.prepared(rows)  # The same, in a simpler query.
        return cls.queryset().filter(pk__in=rows.order_by().using(cls.alias()).values("pk"))

    @classmethod
    def ordered(cls, groups: Iterable[str]) -> QuerySet[Any]:
        """The rows that these groups see, in the binding's order."""
        rows = cls.seen_by(groups)
        if rows is None:
            raise ImproperlyConfigured(f"{cls.__qualname__} has order_by, so it must have rows().")
        return rows.order_by(*cls.total_order())

    @classmethod
    def total_order(cls) -> list[str]:
        """`order_by` with the primary key as the last word, if it isn't there."""
        order = list(cls.order_by)
        if order and not {"pk", "-pk"}.intersection(order):
            order.append("-pk" if order[-1].startswith("-") else "pk")
        return order

    @classmethod
    def key(cls, instance: Model) -> Key:
        """The row's primary key as it stands on the wire: an int, or a string."""
        return cls.wire_key(instance.pk)

    @staticmethod
    def wire_key(pk: Any) -> Key:
        return pk if isinstance(pk, int) else str(pk)

    @classmethod
    def key_from_text(cls, text: str) -> Key:
        """The wire's form of a primary key that the journal holds as text."""
        return cls.wire_key(cls.model._meta.pk.to_python(text))

    @classmethod
    def fragment(cls, instance: Model) -> str:
        """The row's JSON text. Raises whatever `serialize_data` raises."""
        data = cls().serialize_data(instance)
        return json.dumps(data, cls=cls.encoder, separators=(",", ":"), allow_nan=False)

    @classmethod
    def groups_of(cls, instance: Model) -> frozenset[str]:
        """`group_names`, each once. Raises whatever that raises, and `TypeError` for a string."""
        return distinct_names(cls.group_names(instance), f"{cls.__qualname__}.group_names()")

    @classmethod
    def constant_groups(cls) -> frozenset[str] | None:
        """The groups of every row, if `group_names` doesn't look at its row; else None."""
        try:
            names = cls.group_names(_UNREADABLE)  # type: ignore[arg-type]
            names = names if isinstance(names, str) else list(names)
        except NotImplementedError:
            raise
        except (_RowWasRead, Exception):
            return None  # What it raises for real rows is their fault, one by one.
        return distinct_names(names, f"{cls.__qualname__}.group_names()")

    @classmethod
    def sees_all(cls) -> bool:
        """Is every row of the model one of the binding's? Else a key may name a hidden row."""
        query = cls.get_queryset().query
        return not query.where and not query.is_sliced

    @classmethod
    def form(cls) -> str:
        """What determines a fragment, as a short hash: a cursor of another form is void."""
        described = (
            repr(cls.serializer_class())
            if cls.serializer_class is not None
            else ",".join(cls.field_names())
        )
        described = " ".join((described, *cls.extra_names(), *cls.order_by))
        text = f"{cls.__module__}.{cls.__qualname__} {cls.label()} {described}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def distinct_names(names: Iterable[str], whose: str) -> frozenset[str]:
    """Names of groups; a string by itself is refused, lest its letters be taken for names."""
    if isinstance(names, str):
        raise TypeError(f"{whose} must give a list of names, not the string {names!r}.")
    return frozenset(names)


def _repeats(rows: QuerySet[Any]) -> bool:
    """May a row come more than once? So it may by a join that isn't to the one row it refers to."""
    joins = (getattr(table, "join_field", None) for table in rows.query.alias_map.values())
    return not rows.query.distinct and any(
        join is not None and not isinstance(join, ForeignObject) and not join.one_to_one
        for join in joins
    )


def bindings_of(alias: str) -> Iterator[type[Binding]]:
    """The bindings whose models are written to this database."""
    return (binding for binding in registry if binding.alias() == alias)


def aliases() -> list[str]:
    """The databases with bound models, each once."""
    return list(dict.fromkeys(binding.alias() for binding in registry))


class _RowSerializer(PythonSerializer):
    """One row's fields in the model's order and in Django's serialization forms.

    Django's own starts from `local_fields`, which leaves out the fields of parent models.
    """

    row: dict[str, Any]

    def serialize(  # type: ignore[override]
        self, queryset: Iterable[Model], *, fields: list[str], **options: Any
    ) -> None:
        self.use_natural_foreign_keys = False
        self._current: dict[str, Any] = {}
        (instance,) = queryset
        meta = instance._meta
        for field in meta.concrete_fields:
            if field.name in fields:
                self.handle_field(instance, field)
        for related in meta.many_to_many:
            if related.name in fields:
                # Django's own leaves out those through a model of the project's.
                self._current[related.name] = [
                    self._value_from_field(row, row._meta.pk)  # type: ignore[attr-defined]
                    for row in getattr(instance, related.name).all()
                ]
        self.row = self._current


class _RowWasRead(BaseException):
    """`group_names` looked at its row; its own ``except Exception`` doesn't hide that."""


class _Unreadable:
    """Stands for a row to find out whether `group_names` looks at it."""

    def __getattribute__(self, name: str) -> Any:
        raise _RowWasRead

    def __eq__(self, other: object) -> bool:
        raise _RowWasRead

    def __hash__(self) -> int:
        raise _RowWasRead

    def __bool__(self) -> bool:
        raise _RowWasRead

    def __str__(self) -> str:
        raise _RowWasRead

    def __repr__(self) -> str:
        raise _RowWasRead


_UNREADABLE = _Unreadable()
