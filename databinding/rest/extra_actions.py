"""Custom `@action`s by REST: methods of the binding's consumer, asked as a websocket asks them.

``POST /api/<stream>/<action>/``, or ``/api/<stream>/<pk>/<action>/`` about a row, with the other
parameters in the body. What the method returns is the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from asgiref.sync import async_to_sync

from databinding.difference import Key
from databinding.inbound import FIVE, BindingConsumer

#: The `request_id` of whatever is asked: there is one request.
_ASKED: Final = "rest"


class Door(NamedTuple):
    """In the place of a websocket's stream: who asks, and in which groups."""

    stream: str
    groups: frozenset[str]
    asker: Any

    def user(self) -> Any:
        return self.asker

    async def reply(self, text: str) -> None:
        """What a method sends besides its answer is for nobody."""

    async def reply_after_effect(self, text: str) -> None:
        """Likewise."""


class _Answering(BindingConsumer):
    """Keeps its answer, and raises what a websocket would be told of."""

    answer: tuple[Any, int] | None = None

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
        if request_id == _ASKED:
            self.answer = (errors or data, status)

    async def handle_exception(self, exc: Exception, action: str | None, request_id: Any) -> None:
        raise await self.explained(exc, action)


def answering(consumer_class: type[BindingConsumer]) -> type[BindingConsumer]:
    """The consumer class, for requests that are answered once."""
    return type(consumer_class.__name__, (_Answering, consumer_class), {})


def extra_actions(consumer_class: type[BindingConsumer]) -> list[str]:
    """Names of those that REST has no method for."""
    names: Mapping[str, str] = consumer_class.available_actions
    return [name for name in names if name not in FIVE]


def carry_out(consumer: Any, door: Door, name: str, said: Mapping[str, Any]) -> tuple[Any, int]:
    """What the action answers, and the status. Raises what it raises."""
    consumer.door = door
    async_to_sync(_to_its_end)(consumer, name, said)
    return consumer.answer or (None, 204)


async def _to_its_end(consumer: Any, name: str, said: Mapping[str, Any]) -> None:
    await consumer.handle_action(name, request_id=_ASKED, **said)
    # One that is detached from a websocket's frames goes on, and has the answer.
    await asyncio.gather(*consumer.detached_tasks)
