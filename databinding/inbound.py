"""What clients write and ask, carried by djangochannelsrestframework.

Each binding gets a consumer class (`consumer_class_for`): DCRF's action dispatch, and the actions
create, update, delete, list and retrieve. It is no ASGI application of its own here; the
demultiplexer makes one for each of its streams that is asked something, and hands it requests.

Each action is one of `databinding.actions`, in a thread of the library's, for the user read anew.
"""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Protocol, TypeVar

from django.core.serializers.json import DjangoJSONEncoder
from djangochannelsrestframework.consumers import AsyncAPIConsumer
from djangochannelsrestframework.decorators import action as dcrf_action
from rest_framework import exceptions

from databinding import protocol, throttling
from databinding.actions import Actions
from databinding.binding import Binding
from databinding.difference import Key
from databinding.legible import UNREADABLE, Unreadable
from databinding.refusals import Changed, as_api_exception, refuse
from databinding.serializers import key_said
from databinding.threads import in_database

logger = logging.getLogger("databinding")

T = TypeVar("T")


#: The actions that there are without anybody's doing.
FIVE: Final = ("create", "update", "delete", "list", "retrieve")


class Outlet(Protocol):
    """The stream whose requests a consumer answers: `databinding.door`, or one request's."""

    @property
    def stream(self) -> str: ...

    @property
    def groups(self) -> frozenset[str]: ...

    def user(self) -> Any:
        """Who asks, read anew. Not for an event loop."""

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
    #: What is being worked on: the action's name and parameters.
    _asked: tuple[str, dict[str, Any]] = ("", {})

    @dcrf_action()
    async def create(
        self,
        *,
        action: str,
        request_id: Any,
        data: Any = None,
        idempotency_key: Any = None,
        **unknown: Any,
    ) -> None:
        _refuse(unknown)
        answer = await self._in_database(Actions.create, data, idempotency_key)
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
        answer = await self._in_database(Actions.update, pk, data, expect)
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
        key = await self._in_database(Actions.delete, pk, expect)
        await self.reply(action, None, status=204, request_id=request_id, pk=key)

    @dcrf_action()
    async def retrieve(
        self, *, action: str, request_id: Any, pk: Any = None, **unknown: Any
    ) -> None:
        _refuse(unknown)
        answer = await self._in_database(Actions.retrieve, pk)
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
        rows = await self._in_database(Actions.listed, after, limit)
        data = [{"pk": row.pk, "data": row.data} for row in rows]
        await self.reply(action, data, request_id=request_id)

    # What a developer overrides: the write itself, in its transaction, in a thread

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

    # On the way in and out

    async def handle_action(self, action: str, request_id: Any, **kwargs: Any) -> None:
        """Custom actions, too, are about a row by its key as the row has it.

        Whatever spells it otherwise: who decides by it, and who then finds the row, must mean the
        same one.
        """
        known = action in self.available_actions and action not in FIVE
        if known and kwargs.get("pk") is not None:
            try:
                kwargs["pk"] = self.binding.own_key(key_said(self.binding.model, kwargs["pk"]))
            except Exception as exc:
                await self.handle_exception(exc, action=action, request_id=request_id)
                return
        await super().handle_action(action, request_id, **kwargs)

    async def _in_database(self, work: Callable[..., T], *args: Any) -> T:
        def run() -> T:
            user = self.door.user()
            throttling.check(self.binding, self.scope, user, *self._asked)
            return work(Actions(self.binding, user, self.door.groups, self), *args)

        answer: T = await in_database(run)()
        return answer

    async def check_permissions(self, action: str, **kwargs: Any) -> None:
        """The five actions ask the binding themselves, about the row; others are asked here."""
        self._asked = action, kwargs
        await super().check_permissions(action, **kwargs)
        known = action in self.available_actions
        if known and action not in FIVE:
            await self._in_database(Actions.permit_other, action, kwargs.get("pk"))
            method = getattr(self, self.available_actions[action])
            try:
                inspect.signature(method).bind(action=action, request_id=None, **kwargs)
            except TypeError:
                raise exceptions.ParseError("These aren't the action's parameters.") from None

    async def handle_exception(self, exc: Exception, action: str | None, request_id: Any) -> None:
        """Every exception is an answer: it never disturbs another request, stream or client."""
        exc = await self.explained(exc, action)
        error = as_api_exception(exc)
        if error is None:
            # Any text may be named as an action, but only ours stand in the log.
            named = action if action in self.available_actions else "another action"
            logger.error("%s: %s failed.", self.binding.__qualname__, named, exc_info=exc)
            error = exceptions.APIException("Something went wrong on the server.")
        errors = error.detail if isinstance(error.detail, list) else [error.detail]
        status = error.status_code
        pk, data = error.answer if isinstance(error, Changed) else (None, None)
        wait = getattr(error, "wait", None)  # `Throttled` has it.
        await self.reply(
            action, data, errors, status, request_id=request_id, pk=pk, retry_after=wait
        )

    async def explained(self, exc: Exception, action: str | None) -> Exception:
        """What a custom action has met: `Unreadable`, if its row can't be read."""
        asked, said = self._asked
        pk = said.get("pk")
        if not isinstance(exc, UNREADABLE) or action in FIVE or action != asked or pk is None:
            return exc

        def is_unreadable() -> bool:
            return Actions(self.binding, self.door.user(), self.door.groups, self).is_unreadable(pk)

        try:
            return Unreadable() if await in_database(is_unreadable)() else exc
        except Exception:
            return exc

    async def reply(
        self,
        action: str | None,
        data: Any = None,
        errors: list[Any] | None = None,
        status: int = 200,
        request_id: Any = None,
        pk: Key | None = None,
        retry_after: float | None = None,
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
            retry_after=retry_after,
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
    refuse(unknown, "This action has no such parameter.")


_consumers: dict[type[Binding], type[BindingConsumer]] = {}


def consumer_class_for(binding: type[Binding]) -> type[BindingConsumer]:
    """The consumer that carries the binding's actions."""
    if binding not in _consumers:
        name = f"{binding.__name__}Consumer"
        _consumers[binding] = type(name, (BindingConsumer,), {"binding": binding})
    return _consumers[binding]
