"""One stream's resource: Django REST framework's view of what `databinding.actions` does."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, ClassVar
from urllib.parse import quote

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import SuspiciousOperation
from django.core.signals import got_request_exception
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, QueryDict
from django.utils.cache import get_conditional_response, patch_cache_control, patch_vary_headers
from django.utils.functional import cached_property
from django.utils.text import capfirst
from rest_framework import exceptions, status
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ManyRelatedField, RelatedField, Serializer
from rest_framework.settings import api_settings
from rest_framework.utils.serializer_helpers import ReturnDict
from rest_framework.viewsets import GenericViewSet

from databinding import origin, throttling
from databinding.actions import Actions
from databinding.admission import chosen_groups
from databinding.binding import Binding
from databinding.inbound import BindingConsumer, consumer_class_for
from databinding.keyset import Order
from databinding.refusals import Answer, Changed, DatabaseAway, as_api_exception, refuse
from databinding.rest.bodies import PARSERS, refuse_large
from databinding.rest.callers import KnowsCallers
from databinding.rest.entity_tags import PreconditionFailed, expected, tag_of
from databinding.rest.extra_actions import Door, answering, carry_out
from databinding.rest.narrowing import backends_of, order_of, refuse_unknown
from databinding.rest.pages import CURSOR, LIMIT, Pages
from databinding.routers import consistent_reads
from databinding.serializers import serializer_class_for
from databinding.throttling import AskedView
from databinding.websockets import WebSocketDemultiplexer, scope_of_page

logger = logging.getLogger("databinding")


class Browsable(BrowsableAPIRenderer):
    """Django REST framework's pages, without a form for what may not be done."""

    def show_form_for_method(self, view: Any, method: str, request: Any, obj: Any) -> Any:
        return method in view.allowed_methods and view.grants(method, obj)

    def get_raw_data_form(self, data: Any, view: Any, method: str, request: Any) -> Any:
        try:
            return super().get_raw_data_form(data, view, method, request)
        except ValueError:
            return None  # What the row holds JSON can't say; the other form is there.

    def render_form_for_serializer(self, serializer: Any) -> Any:
        if any(isinstance(field, ManyRelatedField) for field in serializer.fields.values()):
            return None  # A form that says nothing of them would empty them.
        for field in serializer.fields.values():
            if isinstance(field, RelatedField):
                # Not a choice from all the rows there are, whoever may see them.
                field.style.setdefault("base_template", "input.html")
        return super().render_form_for_serializer(serializer)


class Resource(KnowsCallers, GenericViewSet[Any]):
    """The rows of a binding, for whoever asks, in the groups of a demultiplexer.

    One subclass for each stream; `resource_for` makes it.
    """

    demultiplexer: ClassVar[type[WebSocketDemultiplexer]]
    stream: ClassVar[str]
    binding: ClassVar[type[Binding]]
    consumer_class: ClassVar[type[BindingConsumer]]
    permission_classes = ()  # The binding is asked, by `Actions`.
    parser_classes = PARSERS
    pagination_class = Pages
    lookup_url_kwarg = lookup_field = "pk"
    lookup_value_regex = ".+"
    filterset_fields: ClassVar[Any] = None
    filterset_class: ClassVar[Any] = None
    search_fields: ClassVar[Any] = ()
    ordering_fields: ClassVar[Any] = ()
    #: The custom action that an address is for.
    extra: ClassVar[str] = ""

    # The five actions

    def list(self, request: Request, **kwargs: Any) -> Response:
        """The rows by primary key, or in the order that is asked for, in pages."""
        actions = self.actions()
        order = Order(self.binding.model, order_of(request, self))
        pages = self.pages
        limit, after = pages.limit(request), pages.after(request, order)

        known = {LIMIT, CURSOR, api_settings.URL_FORMAT_OVERRIDE, *self.parameters}

        def narrow(rows: QuerySet[Any]) -> QuerySet[Any]:
            refuse_unknown(request, self, rows, known)
            return self.filter_queryset(rows)

        answers, position = actions.page(narrow, order, after, limit)
        results = [self.represent(answer) for answer in answers]
        cursor = None if position is None else order.text(position)
        return self._tagged(pages.answered(request, results, cursor))

    def create(self, request: Request, **kwargs: Any) -> Response:
        """A new row."""
        key = request.headers.get("Idempotency-Key")
        answer = self.actions().create(self._said(request), key)
        if answer.data is None:
            return Response(status=status.HTTP_204_NO_CONTENT)
        here = request.build_absolute_uri(request.path)
        response = self._row(answer, status=status.HTTP_201_CREATED)
        response["Location"] = f"{here}{quote(str(answer.pk), safe='')}/"
        return response

    def retrieve(self, request: Request, pk: str, **kwargs: Any) -> Response:
        """One row."""
        return self._row(self.actions().retrieve(pk))

    def update(self, request: Request, pk: str, **kwargs: Any) -> Response:
        """A row in the place of what it was: what is required must be said."""
        return self._update(request, pk, whole=True)

    def partial_update(self, request: Request, pk: str, **kwargs: Any) -> Response:
        """Other values for the fields that are named; the others stay as they are."""
        return self._update(request, pk, whole=False)

    def destroy(self, request: Request, pk: str, **kwargs: Any) -> Response:
        """No such row any more."""
        with self._preconditions():
            self.actions().delete(pk, self._expected(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    def act(self, request: Request, pk: str | None = None, **kwargs: Any) -> Response:
        """What the binding's consumer does under this name."""
        said = self._parameters(request)
        actions = self.actions()
        if pk is not None:
            said["pk"] = pk
        door = Door(self.stream, actions.groups, actions.user)
        data, status = carry_out(actions.performer, door, self.extra, said)
        return Response(data, status=status)

    def _update(self, request: Request, pk: str, *, whole: bool) -> Response:
        with self._preconditions():
            answer = self.actions().update(
                pk, self._said(request, pk), self._expected(request), whole=whole
            )
        if answer.data is None:
            return Response(status=status.HTTP_204_NO_CONTENT)
        return self._row(answer)

    # What they are done with

    def actions(self) -> Actions:
        """What the user of this request may do."""
        if self._actions is None:
            request: Any = self.request
            route = {name: value for name, value in self.kwargs.items() if name != "pk"}
            scope = scope_of_page(request, route)
            scope["user"] = user = request.user or AnonymousUser()
            performer = self.consumer_class()
            performer.scope = scope
            groups = self.demultiplexer.groups_of_page(scope)
            said = {
                name: values[0] if len(values) == 1 else values
                for name, values in request.query_params.lists()
                if name in self.parameters
            }
            groups = chosen_groups(self.binding, user, groups, said)
            self._actions = Actions(self.binding, user, groups, performer)
        return self._actions

    _actions: Actions | None = None

    @cached_property
    def parameters(self) -> frozenset[str]:
        """The names of the binding's parameters, by which it chooses groups."""
        return frozenset(self.binding.parameters().fields if self.binding.parameters else ())

    @property
    def pages(self) -> Pages:
        pages: Any = self.paginator
        return pages  # type: ignore[no-any-return]

    def grants(self, method: str, instance: Any) -> bool:
        """Is there any use in a form that does this?"""
        if self.detail and instance is None:
            return False
        actions: dict[str, str] = self.action_map or {}
        action = _ACTIONS.get(actions.get(method.lower(), ""))
        if action is None:
            return False
        try:
            self.actions().permit(action, instance if self.detail else None)
        except exceptions.APIException:
            return False
        return True

    def hidden(self) -> frozenset[str]:
        """Names in the data that this user isn't sent."""
        readable = self.actions().form.readable()
        if readable is None:
            return frozenset()
        serializer: Any = serializer_class_for(self.binding)()
        return frozenset([*serializer.fields, *self.binding.extra_names()]) - readable

    def withholds(self, path: str) -> bool:
        """Does this path of the model's fields begin with one that this user isn't sent?"""
        return any(path == one or path.startswith(f"{one}__") for one in self._withheld)

    @cached_property
    def _withheld(self) -> frozenset[str]:
        hidden = self.hidden()
        fields: Any = serializer_class_for(self.binding)().fields
        # A serializer may call them something else, and a foreign key has two names.
        paths = {fields[name].source.replace(".", "__") for name in hidden if name in fields}
        columns = self.binding.model._meta.concrete_fields
        return hidden.union(paths, (one.attname for one in columns if one.name in hidden | paths))

    def represent(self, answer: Answer) -> dict[str, Any]:
        """A row as a resource: its fields, and its key beside them."""
        return {"pk": answer.pk, **(answer.data or {})}

    def get_queryset(self) -> QuerySet[Any]:
        if getattr(self, "swagger_fake_view", False):
            return self.binding.model._default_manager.none()
        return self.actions().seen()

    def get_serializer_class(self) -> type[Serializer[Any]]:
        return serializer_class_for(self.binding)

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        """For forms: of the fields that this user may read and write."""
        serializer: Any = super().get_serializer(*args, **kwargs)
        writable = self.binding().writable_fields(self.actions().user)
        unwritable = () if writable is None else set(serializer.fields) - set(writable)
        for name in self.hidden().union(unwritable):
            serializer.fields.pop(name, None)
        return serializer

    def get_view_name(self) -> str:
        meta = self.binding.model._meta
        return str(capfirst(meta.verbose_name if self.detail else meta.verbose_name_plural))

    def get_view_description(self, html: bool = False) -> str:
        return ""

    def _said(self, request: Request, pk: str | None = None) -> Any:
        """The fields that the client gives, without what stands beside them in a row or a form."""
        said: Any = request.data
        if not isinstance(said, Mapping):
            return said
        said = said.copy() if isinstance(said, QueryDict) else dict(said)
        if isinstance(said, QueryDict):
            said.pop("csrfmiddlewaretoken", None)
        serializer: Any = serializer_class_for(self.binding)()
        if pk is not None and "pk" in said and "pk" not in serializer.fields:
            if str(said["pk"]) != pk:
                raise exceptions.ValidationError({"pk": ["A primary key can't be changed."]})
            del said["pk"]
        return said

    def _parameters(self, request: Request) -> dict[str, Any]:
        """What the client gives a custom action, beside the key in the address."""
        said = self._said(request)
        if isinstance(said, QueryDict):
            said = said.dict()
        if not isinstance(said, Mapping):
            raise exceptions.ParseError("This must be an object.")
        refuse((name for name in said if name in _TAKEN), "This is no parameter.")
        return dict(said)

    def _row(self, answer: Answer, status: int = status.HTTP_200_OK) -> Response:
        response = self._tagged(self.represent(answer))
        response.status_code = status
        if isinstance(self.request.accepted_renderer, Browsable):
            # The page has forms, filled with what the row is.
            instance = self.get_queryset().filter(pk=answer.pk).first()
            serializer = self.get_serializer(instance)
            response.data = ReturnDict(response.data, serializer=serializer)
        return response

    def _tagged(self, data: Any) -> Response:
        response = Response(data)
        if not isinstance(self.request.accepted_renderer, Browsable):
            response["ETag"] = tag_of(data)
        return response

    def _expected(self, request: Request) -> Any:
        return expected(request._request, self.represent)

    @contextmanager
    def _preconditions(self) -> Iterator[None]:
        try:
            yield
        except Changed as changed:
            # It has seen another row, that much its headers say.
            raise PreconditionFailed(self.represent(changed.answer)) from changed

    # On the way in and out

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with consistent_reads():
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        refuse_large(request)
        super().initial(request, *args, **kwargs)
        if not origin.allowed(_as_scope(request)):
            raise exceptions.PermissionDenied("Pages of this origin may not ask here.")

    def check_throttles(self, request: Request) -> None:
        """Those of the binding, which know its actions by the names that they have everywhere."""
        if self.extra:
            return  # Its consumer asks.
        asked: Any = AskedView(self.binding, _ACTIONS.get(self.action, self.action), self.kwargs)
        throttling.ask(self.get_throttles(), request, asked)

    def get_throttles(self) -> Any:
        return throttling.throttles_of(self.binding)

    def handle_exception(self, exc: Exception) -> Response:
        error = as_api_exception(exc)
        if error is None:
            if isinstance(exc, SuspiciousOperation):
                raise exc  # Django has an answer for each of these, and a log.
            logger.error("Stream %s: %s failed.", self.stream, self.action, exc_info=exc)
            got_request_exception.send(sender=type(self), request=self.request._request)
            error = exceptions.APIException("Something went wrong on the server.")
        response = super().handle_exception(error)
        if isinstance(error, DatabaseAway):
            response["Retry-After"] = "1"
        if isinstance(error, PreconditionFailed):
            response.data["current"] = error.current
            response["ETag"] = tag_of(error.current)
        return response

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        final: Any = super().finalize_response(request, response, *args, **kwargs)
        failed = final.status_code >= 400
        # What a browser keeps it must ask about before it shows it: rights may have changed.
        patch_cache_control(final, private=True, **{"no_store" if failed else "no_cache": True})
        patch_vary_headers(final, ["Accept", "Authorization", "Cookie"])
        if final.status_code >= 500:
            # A page would ask the database for this and that.
            final.accepted_renderer = JSONRenderer()
            final.accepted_media_type = JSONRenderer.media_type
        if request.method in ("GET", "HEAD") and not failed and "ETag" in final:
            final = get_conditional_response(request._request, final["ETag"], None, final)
        return final


#: What stands in the address, or is said by whoever calls an action.
_TAKEN = ("self", "action", "request_id", "pk")

#: What a binding is asked about, by the names that Django REST framework has for it.
_ACTIONS = {
    "list": "list",
    "create": "create",
    "retrieve": "retrieve",
    "update": "update",
    "partial_update": "update",
    "destroy": "delete",
}


def _as_scope(request: Request) -> dict[str, Any]:
    """What `databinding.origin` looks at, from whatever kind of server."""
    names = ("origin", "host")
    found = [(name.encode(), request.headers.get(name)) for name in names]
    return {
        "headers": [(name, value.encode("latin-1", "replace")) for name, value in found if value]
    }


def resource_for(demultiplexer: type[WebSocketDemultiplexer], stream: str) -> type[Resource]:
    """The resource of a stream that carries a binding."""
    carried = demultiplexer.consumers[stream]
    binding = demultiplexer.binding_of(stream)
    assert binding is not None
    consumer = carried if issubclass(carried, BindingConsumer) else consumer_class_for(binding)
    known: Any = api_settings.DEFAULT_RENDERER_CLASSES
    renderers = [Browsable if one is BrowsableAPIRenderer else one for one in known]
    attributes: dict[str, Any] = {
        "demultiplexer": demultiplexer,
        "stream": stream,
        "binding": binding,
        "consumer_class": answering(consumer),
        "renderer_classes": renderers,
        "filter_backends": backends_of(binding),
        "filterset_fields": binding.filterset_fields,
        "filterset_class": binding.filterset_class,
        "search_fields": binding.search_fields,
        "ordering_fields": binding.ordering_fields,
        "http_method_names": ["get", "head", "post", "put", "patch", "delete"],
    }
    if find_spec("drf_spectacular") is not None:  # the extra "rest"
        from databinding.rest.description import ResourceSchema

        attributes["schema"] = ResourceSchema()
    return type(f"{binding.__name__}Resource", (Resource,), attributes)
