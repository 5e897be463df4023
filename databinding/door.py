"""A stream that carries a binding, as one connection has it: subscription, requests, replies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from django.core.exceptions import SynchronousOnlyOperation
from rest_framework import exceptions

from databinding import protocol
from databinding.admission import Place, admit, asks_nothing
from databinding.binding import Binding
from databinding.conf import settings
from databinding.connection import Connection
from databinding.form import Form
from databinding.hub import Hub
from databinding.identity import current_user, is_by_headers
from databinding.inbound import BindingConsumer, consumer_class_for
from databinding.passes import Joined, names_of
from databinding.protocol import FrameError, Request
from databinding.reading import DATABASE_AWAY
from databinding.refusals import as_api_exception
from databinding.relay import DatabaseAway, relay_for
from databinding.rights import NOBODYS, Basis, arrived
from databinding.stray import STRAY, is_cancelled
from databinding.subscription import Subscription
from databinding.threads import in_database

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

logger = logging.getLogger("databinding")


class Session(Protocol):
    """The open websocket that a door is part of; `databinding.session` is the one there is."""

    scope: Any
    groups: frozenset[str]
    connection: Connection
    hub: Hub
    waiting: int
    joining: int
    basis: Basis

    def known_user(self) -> AbstractBaseUser | AnonymousUser | None: ...

    def count(self) -> int: ...

    def snapshots(self) -> int: ...

    def end_classic(self) -> None: ...


class Door:
    """A stream that carries a binding, as one connection has it."""

    def __init__(
        self,
        session: Session,
        stream: str,
        binding: type[Binding],
        consumer_class: type[BindingConsumer] | None,
    ) -> None:
        self.session = session
        self.stream = stream
        self.binding = binding
        self.groups = session.groups
        self.subscription: Subscription | None = None
        self._consumer_class = consumer_class
        self._consumer: BindingConsumer | None = None
        self._classic: Subscription | None = None
        self._requests: list[Request] = []  # a deque that is empty takes 0.7 KiB
        self._worker: asyncio.Task[None] | None = None
        # What the client said when it subscribed, beside cursor and window.
        self._said: Mapping[str, Any] = {}
        # Nobody is let in by rights that are being looked up anew meanwhile.
        self._admitting = asyncio.Lock()

    def user(self) -> AbstractBaseUser | AnonymousUser:
        """Whose connection it is, read anew."""
        return current_user(self.session.scope)

    # From the client

    def received(self, payload: Any) -> None:
        """One payload. Acks count at once; requests are done in their order."""
        request = protocol.request(self.stream, payload)
        if request.action == protocol.ACK:
            self._ack(request)
            return
        if self.session.waiting >= settings.MAX_REQUESTS:
            raise self._error(request, 429, "Too many requests wait already.")
        self.session.waiting += 1
        self._requests.append(request)
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work())

    def acknowledged(self, frames: int) -> bool:
        """The client has painted so many frames. False: none is on its way, and nothing is done."""
        subscription = self.subscription
        if subscription is None or subscription.in_flight == 0:
            return False
        subscription.ack(frames)
        return True

    def is_acknowledged_by(self, payload: Any) -> bool:
        """Does it acknowledge frames that are on their way?"""
        acknowledges = isinstance(payload, dict) and payload.get("action") == protocol.ACK
        return acknowledges and self.subscription is not None and self.subscription.in_flight > 0

    async def _work(self) -> None:
        while self._requests:
            request = self._requests.pop(0)
            try:
                await self._do(request)
            except FrameError as error:
                await self.reply(protocol.error_reply(error))
            except (Exception, *STRAY):
                if is_cancelled():
                    raise
                logger.exception("Stream %s: a request failed.", self.stream)
                fault = self._error(request, 500, "Something went wrong on the server.")
                await self.reply(protocol.error_reply(fault))
            finally:
                self.session.waiting -= 1
        self._worker = None

    async def _do(self, request: Request) -> None:
        if request.action == protocol.SUBSCRIBE:
            await self._subscribe(request)
        elif request.action == protocol.UNSUBSCRIBE:
            await self._unsubscribe(request)
        else:
            if self._consumer is None:
                consumer_class = self._consumer_class or consumer_class_for(self.binding)
                self._consumer = consumer_class()
                self._consumer.door = self
            # Another one since his rights have changed.
            self._consumer.scope = self.session.scope
            body = dict(request.body)
            # DCRF passes the body on as keyword arguments beside these two.
            for name in ("self", "action", "request_id"):
                if name in body:
                    raise self._error(request, 400, f'"{name}" is no parameter.')
            await self._consumer.handle_action(request.action, request.request_id, **body)

    def _ack(self, request: Request) -> None:
        frames = request.body.get("frames")
        if not protocol.is_ack(frames):
            raise self._error(request, 400, '"frames" must be a positive number.')
        if self.subscription is not None:
            self.subscription.ack(frames)

    async def _subscribe(self, request: Request) -> None:
        body = dict(request.body)
        cursor = body.pop("cursor", None)
        if cursor is not None and not isinstance(cursor, str):
            raise self._error(request, 400, '"cursor" must be a string.')
        window = body.pop("window", None)
        most = settings.MAX_WINDOW
        if window is not None and (
            isinstance(window, bool) or not isinstance(window, int) or not 1 <= window <= most
        ):
            raise self._error(request, 400, f'"window" must be a number from 1 to {most}.')
        if self.subscription is None and self.session.count() >= settings.MAX_SUBSCRIPTIONS:
            raise self._error(request, 429, "This connection has too many subscriptions.")
        if self.session.snapshots() >= settings.MAX_SNAPSHOTS:
            raise self._error(request, 429, "Too many snapshots are on their way; try again.")
        self.session.joining += 1
        try:
            async with self._admitting:
                place = await self._place(body)
                joined = await self._join(place, cursor=cursor)
                self._said = body
                subscription = self._move(place, joined, window)
        except (DatabaseAway, exceptions.APIException) as error:
            refused = as_api_exception(error)
            assert refused is not None
            raise self._error(request, refused.status_code, refused.detail) from None
        finally:
            self.session.joining -= 1
        self.session.end_classic()
        data = {"resumed": joined.resumed}
        await self.reply(
            protocol.reply(self.stream, protocol.SUBSCRIBE, request.request_id, data=data)
        )
        subscription.start()

    async def _join(
        self, place: Place, *, cursor: str | None = None, classic: bool = False
    ) -> Joined:
        return await self.session.hub.join(
            place.form,
            place.groups,
            self.stream,
            limit=place.limit,
            cursor=cursor,
            classic=classic,
        )

    def _move(self, place: Place, joined: Joined, window: int | None) -> Subscription:
        """Have this place instead of the one before, if there was one."""
        self.groups = place.groups
        if self.subscription is not None:
            self.subscription.end()
        self.subscription = self._subscription(joined, window=window)
        return self.subscription

    def _subscription(
        self, joined: Joined, *, window: int | None = None, classic: bool = False
    ) -> Subscription:
        return Subscription(
            self.session.hub,
            relay_for(self.binding.alias()),
            self.session.connection,
            self.stream,
            joined,
            window=window,
            classic=classic,
        )

    async def _unsubscribe(self, request: Request) -> None:
        async with self._admitting:
            self._leave()
        self.session.end_classic()
        await self.reply(protocol.reply(self.stream, protocol.UNSUBSCRIBE, request.request_id))

    def _leave(self) -> None:
        if self.subscription is not None:
            self.subscription.end()
            self.subscription = None
        self.groups = self.session.groups

    async def _place(self, said: Mapping[str, Any]) -> Place:
        try:
            if asks_nothing(self.binding):
                place = await self._place_at_once(said)
            else:
                place = await in_database(self._ask)(said)
        except DATABASE_AWAY as error:
            raise DatabaseAway(str(error)) from error
        except Exception as error:
            refused = as_api_exception(error)
            if refused is None or refused is error:
                raise
            try:
                raise refused from error
            finally:
                del refused  # It knows this frame, which isn't to know it.
        return place

    def _ask(self, said: Mapping[str, Any]) -> Place:
        user = self._known_user()
        if user is None:
            user = self.user()
            self.session.basis.use(user)
        return self._admitted(user, said)

    async def _place_at_once(self, said: Mapping[str, Any]) -> Place:
        """As `_ask`, where nothing but who it is may have to be asked: with others' who ask."""
        user = self._known_user()
        if user is None:
            if is_by_headers(self.session.scope):
                # Who waits for a class of the project's, which may ask far away, waits alone.
                return await in_database(self._ask)(said)
            user = await self._looked_up()
        try:
            return self._admitted(user, said)
        except SynchronousOnlyOperation:
            # The project's model of a user does ask, or its binding was wrong about itself.
            return await in_database(self._admitted)(user, said)

    def _known_user(self) -> AbstractBaseUser | AnonymousUser | None:
        """Who it is, if that needn't be asked, and noted what rests on it."""
        user = self.session.known_user()
        if user is not None and not user.is_authenticated:
            self.session.basis.rest_on(NOBODYS)
        return user

    async def _looked_up(self) -> AbstractBaseUser | AnonymousUser:
        """Who it is, read anew together with others, and noted what rests on it."""
        found = await arrived((self.session.scope, None))
        if isinstance(found, Exception):
            try:
                raise found
            finally:
                del found  # It knows this frame, which isn't to know it.
        self.session.basis.rest_on(found.rights)
        return found.user

    def _admitted(self, user: Any, said: Mapping[str, Any]) -> Place:
        return admit(self.binding, user, self.session.groups, said, self.session.scope)

    # When rights have changed

    def forms(self) -> list[Form]:
        """In which something is shown."""
        shown = (self.subscription, self._classic)
        return [one.audience.form for one in shown if one is not None]

    async def renew(self) -> None:
        """Show what the connection's user may see now. Raises `DatabaseAway`."""
        async with self._admitting:
            await self._renew_classic()
            before = self.subscription
            if before is None:
                self.groups = self.session.groups
                return
            try:
                place = await self._place(self._said)
                if self._is_at(before, place):
                    # The same key, by which others may be meant now.
                    before.relay.reread(before.audience.form)
                    if not await before.outdated():
                        return
                    # What is on its way was read before, however long it has waited.
                joined = await self._join(place)
            except Exception as error:
                self._take_back(self._refusal(error))
                return
            if before.ended:  # The client has gone meanwhile.
                self._subscription(joined).end()
                return
            loading = before.loading
            after = self._move(place, joined, before.window)
            # It has yet to acknowledge them, or has just done so.
            after.in_flight = before.in_flight
            if loading:
                self._tell(protocol.begun_anew(self.stream))
        after.start()

    async def _renew_classic(self) -> None:
        before = self._classic
        if before is None:
            return
        place = joined = None
        try:
            place = await self._place({})
            if self._is_at(before, place):
                before.relay.reread(before.audience.form)
                return
            joined = await self._join(place, classic=True)
        except Exception as error:
            self._refusal(error)
        audience = None if joined is None else joined.audience
        after = None if joined is None else self._subscription(joined, classic=True)
        try:
            events = await self.session.hub.ask(
                before.relay, lambda this: this.between(before.audience, audience)
            )
            if before.ended:
                return  # The client has gone meanwhile, or has subscribed to something.
            self.end_classic()
            self._classic, after = after, None
        finally:
            if after is not None:
                after.end()
        for event in events:
            self._tell(protocol.classic(self.stream, event, self.binding.label()))
        self.start()

    @staticmethod
    def _is_at(subscription: Subscription, place: Place) -> bool:
        form, groups, limit = place
        return subscription.audience.is_of(form, names_of(form.binding, groups, limit))

    def _refusal(self, error: Exception) -> exceptions.APIException:
        """Why nothing is to be shown. Raises `DatabaseAway` where that can't be told just now."""
        refused = as_api_exception(error)
        if refused is None:
            logger.error(
                "Stream %s: what a user may see can't be told.", self.stream, exc_info=error
            )
            refused = exceptions.APIException("Something went wrong on the server.")
        if refused.status_code == 503:
            raise DatabaseAway(str(error)) from error
        return refused

    def _take_back(self, refused: exceptions.APIException) -> None:
        """What was shown isn't this user's to see any more."""
        loading = self.subscription is not None and self.subscription.loading
        self._leave()
        detail = refused.detail
        errors = detail if isinstance(detail, list) else [detail]
        if loading:
            self._tell(protocol.begun_anew(self.stream))
        self._tell(protocol.nothing(self.stream))
        self._tell(protocol.ended(self.stream, refused.status_code, errors))

    def _tell(self, text: str) -> None:
        """As `reply`, without waiting: others' rights wait for who waits here."""
        self.session.connection.send_soon(text)

    def _error(self, request: Request, status: int, detail: Any) -> FrameError:
        return FrameError(
            status,
            detail,
            stream=self.stream,
            action=request.action,
            request_id=request.request_id,
        )

    # To the client

    async def reply(self, text: str) -> None:
        await self.session.connection.reply(text)

    async def reply_after_effect(self, text: str) -> None:
        """Send a reply after the batch that shows what the request wrote."""
        subscription = self.subscription
        if subscription is not None:
            try:
                await self.session.hub.ask(subscription.relay, lambda this: None)
                await subscription.reply(text)
                return
            except DatabaseAway:
                pass  # It was written; that much can be said.
        await self.reply(text)

    # Classic frames, until the first subscription

    async def join_classic(self) -> None:
        try:
            place = await self._place({})
            joined = await self._join(place, classic=True)
        except exceptions.APIException:
            return  # Not for this user, or not without parameters, which classic frames can't have.
        except DatabaseAway:
            logger.warning("A classic client of %s gets nothing: database away.", self.stream)
            return
        except Exception:
            logger.exception("A classic client of %s gets nothing.", self.stream)
            return
        self._classic = self._subscription(joined, classic=True)

    def end_classic(self) -> None:
        if self._classic is not None:
            self._classic.end()
            self._classic = None

    def start(self) -> None:
        if self._classic is not None:
            self._classic.start()

    def end(self) -> asyncio.Task[None] | None:
        """The connection is over; what is still being done for it, and cancelled, is returned."""
        self.end_classic()
        if self.subscription is not None:
            self.subscription.end()
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
        self._consumer = None  # It knows its door.
        return worker
