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

import functools
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.core.serializers.json import DjangoJSONEncoder
from django.core.serializers.python import Serializer as PythonSerializer
from django.db import router
from django.db.models import Model, QuerySet

from databinding.difference import Key
from databinding.keys import from_text, to_text

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

#: Browsers take whole numbers beyond this for others next to them, and would write to another row.
MOST_EXACT: Final = 2**53 - 1

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
    #: Of constant groups alone: no rows are held or sent to begin with, a subscription is told of
    #: what changes from then on.
    changes_only: ClassVar[bool] = False
    #: A Django REST framework serializer class: what a client may say when it subscribes.
    parameters: ClassVar[type[Any] | None] = None
    #: Seconds after which the rows are asked anew, whatever the journal says, and what differs is
    #: sent: so that even writes heal that capture can't see. None: the journal is believed.
    refresh_every: ClassVar[float | None] = None
    #: Django REST framework permission classes, asked beside `has_permission` at each request
    #: (`databinding.permission`).
    permission_classes: ClassVar[list[Any] | tuple[Any, ...]] = ()
    #: Django REST framework throttle classes, asked at each request (`databinding.throttling`);
    #: None: those of its settings.
    throttle_classes: ClassVar[list[type[Any]] | tuple[type[Any], ...] | None] = None
    #: What says whether and what a user may subscribe to, `has_permission` say, looks at no more
    #: than it is given: then nobody who subscribes waits for a thread (`databinding.admission`).
    #: Who overrides any of that says so anew.
    asks_nothing: ClassVar[bool] = False
    #: What else the rows depend on: paths along relations, as `filter` has them, or models.
    watch: ClassVar[list[str | type[Model]] | tuple[str | type[Model], ...]] = ()
    #: What REST's lists can be narrowed and ordered by, as Django REST framework and django-filter
    #: have these: names of fields, or lookups by names; a FilterSet; names of text fields; names.
    filterset_fields: ClassVar[Any] = None
    filterset_class: ClassVar[type[Any] | None] = None
    search_fields: ClassVar[list[str] | tuple[str, ...]] = ()
    ordering_fields: ClassVar[list[str] | tuple[str, ...]] = ()
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
        if len(cls.model._meta.pk_fields) > 1:
            raise ImproperlyConfigured(
                f"{cls.__qualname__}: {cls.model.__name__} has a composite primary key, which has "
                "no form in the journal, nor on the wire."
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
    def get_queryset(cls, user: AbstractBaseUser | AnonymousUser | None = None) -> QuerySet[Any]:
        """The rows that this user may see: in lists and snapshots, live, and to change.

        One that doesn't look at `user` says which rows exist as far as the binding is concerned,
        and everybody shares what is read. One that does is asked for each `audience_key`.
        """
        return cls.model._default_manager.all()

    @classmethod
    def audience_key(cls, user: AbstractBaseUser | AnonymousUser) -> Any:
        """What decides what a user sees: users of one key see the same rows and fields.

        Asked where `get_queryset` or `readable_fields` looks at its user. It may be anything that
        can be a key of a dict and has a telling ``str``; a team's number, say. The fewer keys
        there are, the fewer queries: one for each key and batch.
        """
        return user.pk

    @classmethod
    def readable_fields(cls, user: AbstractBaseUser | AnonymousUser) -> Iterable[str] | None:
        """Names in the data that this user is sent; None: all of them."""
        return None

    @classmethod
    def writable_fields(cls, user: AbstractBaseUser | AnonymousUser) -> Iterable[str] | None:
        """Names of fields that this user may write; None: those that he may read."""
        return cls().readable_fields(user)

    def has_permission(
        self, user: AbstractBaseUser | AnonymousUser, action: str, pk: Key | None
    ) -> bool:
        """May this user do this? Denied unless a binding grants it, here or by its classes.

        `action` is ``subscribe``, ``list``, ``retrieve``, ``create``, ``update``, ``delete`` or the
        name of an ``@action``. Where there are `permission_classes`, they must agree as well.
        """
        return bool(self.permission_classes)

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
        everything = cls.fields == "__all__" or list(cls.fields or ()) == ["__all__"]
        declared = (cls.exclude or ()) if cls.fields is None else () if everything else cls.fields
        excluding = cls.fields is None or everything
        return list(_names_of(cls.model, tuple(declared), excluding, cls.__qualname__))

    @classmethod
    def extra_names(cls) -> list[str]:
        """Names in the data beside the fields, which can't be written."""
        return []

    @classmethod
    def rows_for(cls, user: Any) -> QuerySet[Any]:
        """`get_queryset`, also of a binding whose own takes no user."""
        ask: Any = cls().get_queryset
        queryset: QuerySet[Any] = ask(user) if _takes_one(ask.__func__) else ask()
        return queryset

    @classmethod
    def overrides(cls, *names: str) -> bool:
        """Is one of these the project's own, of the binding or of what it is derived from?"""
        above = cls.__mro__[: cls.__mro__.index(Binding)]
        return any(name in vars(one) for one in above for name in names)

    @classmethod
    def is_personal(cls) -> bool:
        """Does what is seen depend on who looks? Raises what `get_queryset` raises."""
        if not cls.overrides("get_queryset", "readable_fields"):
            return False
        try:
            if _takes_one(cls().get_queryset.__func__):  # type: ignore[attr-defined]
                cls.rows_for(_UNREADABLE)
            cls().readable_fields(_UNREADABLE)  # type: ignore[arg-type]
        except _WasRead:
            return True
        return False

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
    def total_order(cls) -> list[str]:
        """`order_by` with the primary key as the last word, if it isn't there."""
        order = list(cls.order_by)
        if order and not {"pk", "-pk"}.intersection(order):
            order.append("-pk" if order[-1].startswith("-") else "pk")
        return order

    @classmethod
    def key(cls, instance: Model) -> Key:
        """The row's primary key as it stands on the wire: an int that is exact, or a string."""
        return cls.wire_key(instance.pk)

    @staticmethod
    def own_key(pk: Any) -> Key:
        """A primary key as code of the project is given it: an int, however large, or a string."""
        return pk if isinstance(pk, int) else str(pk)

    @staticmethod
    def wire_key(pk: Any) -> Key:
        return pk if isinstance(pk, int) and -MOST_EXACT <= pk <= MOST_EXACT else str(pk)

    @classmethod
    def key_from_text(cls, text: str) -> Key:
        """The wire's form of a primary key that the journal holds as text."""
        return cls.wire_key(from_text(cls.model._meta.pk, text, cls.alias()))

    @classmethod
    def text_from_key(cls, key: Key) -> str:
        """The other way."""
        return to_text(cls.model._meta.pk, key, cls.alias())

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
        except (_WasRead, Exception):
            return None  # What it raises for real rows is their fault, one by one.
        return distinct_names(names, f"{cls.__qualname__}.group_names()")


def distinct_names(names: Iterable[str], whose: str) -> frozenset[str]:
    """Names of groups; a string by itself is refused, lest its letters be taken for names."""
    if isinstance(names, str):
        raise TypeError(f"{whose} must give a list of names, not the string {names!r}.")
    return frozenset(names)


@functools.lru_cache(maxsize=1024)
def _names_of(
    model: type[Model], declared: tuple[str, ...], excluding: bool, whose: str
) -> Sequence[str]:
    """Names of a model's fields: those declared, or all others. Asked for each row."""
    every: list[Any] = [*model._meta.concrete_fields, *model._meta.many_to_many]
    names = [field.name for field in every]
    for name in declared:
        if name not in names:
            raise FieldDoesNotExist(f"{whose}: {model.__name__} has no {name}.")
    if excluding:
        # As Django serializes: without primary keys, which stand beside the data.
        return [field.name for field in every if field.serialize and field.name not in declared]
    return [name for name in names if name in declared]


@functools.cache
def _takes_one(method: Callable[..., Any]) -> bool:
    """Does a method take something besides its class or instance?"""
    return len(inspect.signature(method).parameters) > 1


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


class _WasRead(BaseException):
    """A method looked at what it was given; its own ``except Exception`` doesn't hide that."""


class _Unreadable:
    """Stands for a row or a user to find out whether a method looks at it."""

    def __getattribute__(self, name: str) -> Any:
        raise _WasRead

    def __eq__(self, other: object) -> bool:
        raise _WasRead

    def __hash__(self) -> int:
        raise _WasRead

    def __bool__(self) -> bool:
        raise _WasRead

    def __str__(self) -> str:
        raise _WasRead

    def __repr__(self) -> str:
        raise _WasRead


_UNREADABLE = _Unreadable()
