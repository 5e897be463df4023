"""What clients write and ask, carried by djangochannelsrestframework.

Each binding gets a consumer class (`consumer_class_for`): DCRF's action dispatch, and the actions
create, update, delete, list and retrieve. It is no ASGI application of its own here; the
demultiplexer makes one for each of its streams that is asked something, and hands it requests.

Each action is one function in Django's database thread: it reads the user anew, asks the binding,
and works on the rows that the connection's groups see.
"""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, TypeVar

from channels.db import database_sync_to_async
from django.conf import settings as django_settings
from django.contrib.auth import get_user
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import IntegrityError, connections, transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest
from djangochannelsrestframework.consumers import AsyncAPIConsumer
from djangochannelsrestframework.decorators import action as dcrf_action
from rest_framework import exceptions
from rest_framework.fields import get_error_detail
from rest_framework.serializers import ModelSerializer, Serializer

from databinding import protocol, relay
from databinding.admission import valid_limit
from databinding.binding import Binding
from databinding.conf import settings
from databinding.difference import Key
from databinding.locks import wait_at_most
from databinding.reading import DATABASE_AWAY

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

logger = logging.getLogger("databinding")

T = TypeVar("T")

#: Rows that are read at once for a list.
_PAGE = 2_000


class Answer(NamedTuple):
    """A row as it is answered: its key beside its data, even where the fields don't have it."""

    pk: Key
    data: Any


class Conflict(exceptions.APIException):
    """The database refused the row as it would have become."""

    status_code = 409
    default_detail = "The row conflicts with another one."


class Changed(Conflict):
    """The row isn't what the client expected it to be; the answer shows what it is."""

    default_detail = "The row has changed."

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class DatabaseAway(exceptions.APIException):
    """Nothing was written; the client may try again."""

    status_code = 503
    default_detail = "The database is away or busy; try again."


class Outlet(Protocol):
    """The stream whose requests a consumer answers; `databinding.door` is the one there is."""

    stream: str
    groups: frozenset[str]

    async def reply(self, text: str) -> None: ...

    async def reply_after_effect(self, text: str) -> None: ...


class BindingConsumer(AsyncAPIConsumer):
    """The actions of one binding.

    To add an ``@action``, or to say how a row is saved (`perform_create` and its like), subclass
    ``YourBinding.consumer`` and give that to a demultiplexer.
    """

    binding: ClassVar[type[Binding]]
    permission_classes = ()
    #: Set by the demultiplexer.
    door: Outlet

    @dcrf_action()
    async def create(
        self, *, action: str, request_id: Any, data: Any = None, **unknown: Any
    ) -> None:
        _refuse(unknown)
        answer = await self._in_database(self._create, data)
        await self.reply(action, answer.data, status=201, request_id=request_id, pk=answer.pk)

    @dcrf_action()
    async def update(
        self,
        *,
        action: str,
        request_id: Any,
        pk: Any = None,
        data: Any = None,
        expect: Any = None,
        **unknown: Any,
    ) -> None:
        _refuse(unknown)
        answer = await self._in_database(self._update, pk, data, expect)
        await self.reply(action, answer.data, request_id=request_id, pk=answer.pk)

    @dcrf_action()
    async def delete(
        self,
        *,
        action: str,
        request_id: Any,
        pk: Any = None,
        data: Any = None,
        expect: Any = None,
        **unknown: Any,
    ) -> None:
        _refuse(unknown)
        key = await self._in_database(self._delete, pk, expect)
        await self.reply(action, None, status=204, request_id=request_id, pk=key)

    @dcrf_action()
    async def retrieve(
        self, *, action: str, request_id: Any, pk: Any = None, **unknown: Any
    ) -> None:
        _refuse(unknown)
        answer = await self._in_database(self._retrieve, pk)
        await self.reply(action, answer.data, request_id=request_id, pk=answer.pk)

    @dcrf_action(name="list")
    async def list_rows(
        self,
        *,
        action: str,
        request_id: Any,
        after: Any = None,
        limit: Any = None,
        **unknown: Any,
    ) -> None:
        _refuse(unknown)
        rows = await self._in_database(self._list, after, limit)
        data = [{"pk": row.pk, "data": row.data} for row in rows]
        await self.reply(action, data, request_id=request_id)

    # What a developer overrides: the write itself, in its transaction, in the database's thread

    def perform_create(self, serializer: Any) -> None:
        """Save a row that is valid and permitted; ``serializer.save(room=…)`` adds to it.

        `self.scope` is the connection's. What this raises is answered, and nothing is written.
        """
        serializer.save()

    def perform_update(self, serializer: Any) -> None:
        """Save a change; ``serializer.instance`` is the row as it was, locked."""
        serializer.save()

    def perform_delete(self, instance: Any) -> None:
        """Delete a row, which is locked."""
        instance.delete()

    # In the database's thread

    def _create(self, user: Any, data: Any) -> Answer:
        self._permit(user, "create", None)
        serializer = self._valid(None, data)
        with self._writing():
            self.perform_create(serializer)
            return self._answer_anew(serializer.instance)

    def _update(self, user: Any, pk: Any, data: Any, expect: Any) -> Answer:
        with self._writing():
            # Locked, so that two partial updates of different fields both survive.
            instance = self._visible(pk, lock=True)
            self._permit(user, "update", self.binding.key(instance))
            self._expect(instance, expect)
            serializer = self._valid(instance, data)
            self.perform_update(serializer)
            return self._answer_anew(serializer.instance)

    def _delete(self, user: Any, pk: Any, expect: Any) -> Key:
        with self._writing():
            instance = self._visible(pk, lock=True)
            key = self.binding.key(instance)
            self._permit(user, "delete", key)
            self._expect(instance, expect)
            self.perform_delete(instance)
        return key

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction that waits for others only as long as its client would."""
        alias = self.binding.alias()
        with transaction.atomic(using=alias):
            wait_at_most(alias, settings.DATABASE_TIMEOUT)
            yield

    def _retrieve(self, user: Any, pk: Any) -> Answer:
        instance = self._visible(pk)
        self._permit(user, "retrieve", self.binding.key(instance))
        return self._answer(instance)

    def _list(self, user: Any, after: Any, limit: Any) -> list[Answer]:
        self._permit(user, "list", None)
        limit = valid_limit(limit, settings.LIST_LIMIT, settings.LIST_LIMIT)
        rows = self._listed().order_by("pk")
        if after is not None:
            rows = rows.filter(pk__gt=self._key(after, "after"))
        found: list[Answer] = []
        # By pages, not by a cursor: outside a transaction a pooler takes that away.
        while page := list(rows[:_PAGE]):
            for instance in page:
                if self._sees(instance):
                    found.append(self._answer(instance))
                    if len(found) == limit:
                        return found
            rows = rows.filter(pk__gt=page[-1].pk)
        return found

    def _listed(self) -> QuerySet[Any]:
        """Rows among which are all that this connection sees."""
        seen = self.binding.seen_by(self.door.groups)
        return self.binding.queryset() if seen is None else seen

    def _permit(self, user: Any, action: str, pk: Key | None) -> None:
        if not self.binding().has_permission(user, action, pk):
            if not user.is_authenticated:
                raise exceptions.NotAuthenticated
            raise exceptions.PermissionDenied

    def _visible(self, pk: Any, *, lock: bool = False) -> Model:
        if pk is None:
            raise exceptions.ValidationError({"pk": ["This field is required."]})
        key = self._key(pk, "pk")
        if lock:
            self._lock(key)
        instance = self.binding.queryset().filter(pk=key).first()
        if instance is None or not self._sees(instance):
            raise Http404
        found: Model = instance
        return found

    def _lock(self, key: Any) -> None:
        """Let nobody else write the row until the end of the transaction."""
        alias = self.binding.alias()
        if connections[alias].features.has_select_for_update:
            # By the bare model: outer joins, DISTINCT and GROUP BY of the binding's own queryset
            # can't be locked.
            rows = self.binding.model._base_manager.using(alias).filter(pk=key)
            list(rows.order_by().select_for_update().values_list("pk"))

    def _key(self, pk: Any, name: str) -> Any:
        """Raises `Http404` for what no row of this model has as its key."""
        if isinstance(pk, (bool, float, list, dict)):
            raise exceptions.ValidationError({name: ["This isn't a primary key."]})
        field: Any = self.binding.model._meta.pk
        while field.remote_field is not None:
            field = field.target_field  # A child's key is its parent's.
        try:
            value = field.to_python(pk)
            field.run_validators(value)
        except (DjangoValidationError, TypeError, ValueError, OverflowError):
            raise Http404 from None
        return value

    def _sees(self, instance: Model) -> bool:
        return not self.door.groups.isdisjoint(self.binding.groups_of(instance))

    def _valid(self, instance: Model | None, data: Any) -> Serializer[Any]:
        if not isinstance(data, Mapping):
            raise exceptions.ValidationError({"data": ["This must be an object."]})
        serializer_class = serializer_class_for(self.binding)
        serializer = serializer_class(instance, data=data, partial=instance is not None)
        known = {*serializer.fields, *self.binding.extra_names()}
        unknown = {name: ["There is no such field."] for name in data if name not in known}
        if unknown:
            raise exceptions.ValidationError(unknown)
        serializer.is_valid(raise_exception=True)
        key = self.binding.model._meta.pk.name
        if instance is not None and serializer.validated_data.get(key, instance.pk) != instance.pk:
            # Saved with another key it would be another row.
            raise exceptions.ValidationError({key: ["A primary key can't be changed."]})
        return serializer

    def _expect(self, instance: Model, expect: Any) -> None:
        """The row must still be as the client last saw it, as far as it says so."""
        if expect is None:
            return
        if not isinstance(expect, Mapping):
            raise exceptions.ValidationError({"expect": ["This must be an object."]})
        answer = self._answer(instance)
        unknown = {name: ["There is no such field."] for name in expect if name not in answer.data}
        if unknown:
            raise exceptions.ValidationError(unknown)
        if any(answer.data[name] != value for name, value in expect.items()):
            raise Changed(answer)

    def _answer(self, instance: Model) -> Answer:
        return Answer(self.binding.key(instance), json.loads(self.binding.fragment(instance)))

    def _answer_anew(self, instance: Any) -> Answer:
        """The row as it was written; no data if it is none of the binding's any more."""
        stored = self.binding.queryset().filter(pk=instance.pk).first()
        return Answer(self.binding.key(instance), None) if stored is None else self._answer(stored)

    # On the way in and out

    async def _in_database(self, work: Callable[..., T], *args: Any) -> T:
        def run() -> T:
            return work(current_user(self.scope), *args)

        answer: T = await database_sync_to_async(run)()
        return answer

    async def check_permissions(self, action: str, **kwargs: Any) -> None:
        """The five actions ask the binding themselves, about the row; others are asked here."""
        await super().check_permissions(action, **kwargs)
        known = action in self.available_actions
        if known and action not in ("create", "update", "delete", "list", "retrieve"):
            await self._in_database(self._permit, action, kwargs.get("pk"))
            method = getattr(self, self.available_actions[action])
            try:
                inspect.signature(method).bind(action=action, request_id=None, **kwargs)
            except TypeError:
                raise exceptions.ParseError("These aren't the action's parameters.") from None

    async def handle_exception(self, exc: Exception, action: str | None, request_id: Any) -> None:
        """Every exception is an answer: it never disturbs another request, stream or client."""
        error = as_api_exception(exc)
        if error is None:
            logger.error("%s: %s failed.", self.binding.__qualname__, action, exc_info=exc)
            error = exceptions.APIException("Something went wrong on the server.")
        errors = error.detail if isinstance(error.detail, list) else [error.detail]
        status = error.status_code
        pk, data = error.answer if isinstance(error, Changed) else (None, None)
        await self.reply(action, data, errors, status, request_id=request_id, pk=pk)

    async def reply(
        self,
        action: str | None,
        data: Any = None,
        errors: list[Any] | None = None,
        status: int = 200,
        request_id: Any = None,
        pk: Key | None = None,
    ) -> None:
        """DCRF's reply, with ``pk`` beside ``data``; a reply follows its own effect."""
        failed = status >= 400
        if request_id is None:
            if not failed and action in protocol.SILENT:
                return
            if failed:
                action = protocol.ERROR
        text = protocol.reply(
            self.door.stream,
            action or protocol.ERROR,
            request_id,
            status=status,
            errors=errors or (),
            data=data,
            pk=pk,
            encoder=DjangoJSONEncoder,
        )
        if failed or action in ("list", "retrieve"):
            await self.door.reply(text)
        else:
            await self.door.reply_after_effect(text)

    async def send_json(self, content: Any, close: bool = False) -> None:
        """What an ``@action`` sends by itself goes into the stream."""
        text = json.dumps(content, cls=DjangoJSONEncoder)
        await self.door.reply(protocol.envelope(self.door.stream, text))


def _refuse(unknown: Mapping[str, Any]) -> None:
    if unknown:
        raise exceptions.ValidationError(
            {name: ["This action has no such parameter."] for name in unknown}
        )


def as_api_exception(exc: Exception) -> exceptions.APIException | None:
    """What the client is told of an exception; None: nothing, it is a fault of ours."""
    match exc:
        case exceptions.APIException():
            return exc
        case Http404():
            return exceptions.NotFound()
        case DjangoPermissionDenied():
            return exceptions.PermissionDenied()
        case DjangoValidationError():
            return exceptions.ValidationError(get_error_detail(exc))
        case IntegrityError():
            return Conflict()
        case _ if isinstance(exc, (*DATABASE_AWAY, relay.DatabaseAway)):
            return DatabaseAway()
    return None


def current_user(scope: Mapping[str, Any]) -> AbstractBaseUser | AnonymousUser:
    """Who this connection is now, read anew: sessions end and rights change while it is open."""
    session = scope.get("session")
    if session is not None:
        request = HttpRequest()
        engine = import_module(django_settings.SESSION_ENGINE)
        request.session = engine.SessionStore(session.session_key)
        return get_user(request)
    user = scope.get("user")
    if user is None or not user.is_authenticated:
        return AnonymousUser()
    # Some other middleware said who it is; it stays so for as long as the account is active.
    found = user.__class__._default_manager.filter(pk=user.pk).first()
    return found if found is not None and found.is_active else AnonymousUser()


_serializers: dict[type[Binding], type[Serializer[Any]]] = {}
_consumers: dict[type[Binding], type[BindingConsumer]] = {}


def serializer_class_for(binding: type[Binding]) -> type[Serializer[Any]]:
    """The binding's serializer, or one made of its fields."""
    if binding.serializer_class is not None:
        return binding.serializer_class
    if binding not in _serializers:
        meta = type("Meta", (), {"model": binding.model, "fields": binding.field_names()})
        name = f"{binding.__name__}Serializer"
        _serializers[binding] = type(name, (ModelSerializer,), {"Meta": meta})
    return _serializers[binding]


def consumer_class_for(binding: type[Binding]) -> type[BindingConsumer]:
    """The consumer that carries the binding's actions."""
    if binding not in _consumers:
        name = f"{binding.__name__}Consumer"
        _consumers[binding] = type(name, (BindingConsumer,), {"binding": binding})
    return _consumers[binding]
