"""OpenAPI for the resources, with drf-spectacular (the extra "rest"), and a page made of it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from django.apps import apps
from django.contrib.auth.models import AnonymousUser
from django.urls import NoReverseMatch, URLPattern, URLResolver, path, reverse
from django.utils.translation import get_language
from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.settings import patched_settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings

from databinding.actions import Actions
from databinding.binding import Binding
from databinding.conf import settings
from databinding.idempotency import MOST, UNGUESSABLE
from databinding.keys import column
from databinding.rest import event_streams
from databinding.rest.callers import KnowsCallers
from databinding.rest.pages import CURSOR, LIMIT
from databinding.serializers import serializer_class_for
from databinding.websockets import WebSocketDemultiplexer

_SCHEMAS: dict[str, Any] = {
    "Error": {
        "type": "object",
        "required": ["detail"],
        "properties": {"detail": {"type": "string", "description": "What is wrong, in words."}},
    },
    "Invalid": {
        "type": "object",
        "description": "What is wrong, by field or parameter; `detail`: with all of it.",
        "additionalProperties": {},
    },
    "Changed": {
        "type": "object",
        "required": ["detail", "current"],
        "properties": {
            "detail": {"type": "string", "description": "What is wrong, in words."},
            "current": {"type": "object", "description": "What the row is."},
        },
    },
}
#: drf-spectacular's, for these descriptions: a key is read, but not written.
#: Choices stay with their fields, where nobody has to find names for them.
_SETTINGS: dict[str, Any] = {"COMPONENT_SPLIT_REQUEST": True, "POSTPROCESSING_HOOKS": []}

_WRITES = ("create", "update", "partial_update", "destroy", "act")
_BODIES = ("create", "update", "partial_update", "act")


class ResourceSchema(AutoSchema):
    """Describes the five actions of a stream, and all that they answer."""

    view: Any

    def get_operation_id(self) -> str:
        if self.view.extra:
            return "_".join([self.view.stream, self.view.extra, *["row"] * self.view.detail])
        return f"{self.view.stream}_{self.view.action}"

    def get_tags(self) -> list[str]:
        return [self.view.stream]

    def get_summary(self) -> str:
        meta = self.view.binding.model._meta
        if self.view.extra:
            whose = meta.verbose_name if self.view.detail else meta.verbose_name_plural
            return f"{self.view.extra.replace('_', ' ').capitalize()}: {whose}"
        what = {
            "list": f"List {meta.verbose_name_plural}",
            "create": f"Create one {meta.verbose_name}",
            "retrieve": f"Retrieve one {meta.verbose_name}",
            "update": f"Replace one {meta.verbose_name}",
            "partial_update": f"Change one {meta.verbose_name}",
            "destroy": f"Delete one {meta.verbose_name}",
        }
        return what[self.view.action]

    def get_request_serializer(self) -> Any:
        if self.view.extra:
            return {"application/json": {"type": "object", "additionalProperties": {}}}
        return {"application/json": _row_of(self.view.binding)}

    def get_response_serializers(self) -> Any:
        row, action = _row_of(self.view.binding), self.view.action
        names = ("Error", "Invalid", "Changed")
        error, invalid, changed = (shared_answer(self.registry, name) for name in names)
        found: dict[int, Any]
        if self.view.extra:
            found = {200: OpenApiResponse(OpenApiTypes.ANY, "What it answers.")}
            found[204] = OpenApiResponse(None, "It is done, and has no answer.")
        elif action == "destroy":
            found = {204: OpenApiResponse(None, "It is deleted.")}
        elif action == "create":
            found = {201: row, 204: OpenApiResponse(None, "Created, but not for you to see.")}
        elif action in _BODIES:
            found = {200: row, 204: OpenApiResponse(None, "Changed, and no longer yours to see.")}
        else:
            found = {200: row}
        if action in ("list", *_WRITES) or self.view.parameters:
            found[400] = OpenApiResponse(invalid, "Invalid.")
        found[401] = OpenApiResponse(error, "Who isn't logged in may not do this.")
        found[403] = OpenApiResponse(
            invalid if action in _BODIES else error,
            "Not permitted, or not for some fields, or a missing CSRF token.",
        )
        found[404] = OpenApiResponse(error, "There is no such row for you, or no such format.")
        found[406] = OpenApiResponse(error, "There is no such representation.")
        if action in _WRITES:
            found[409] = OpenApiResponse(error, "It conflicts with another row.")
        if action == "create":
            found[422] = OpenApiResponse(
                error, "`Idempotency-Key` stands for something else, or for what can't be read."
            )
        elif self.view.detail:
            found[422] = OpenApiResponse(error, "The row holds what can't be read.")
        if action in _WRITES and action not in ("create", "act"):
            found[412] = OpenApiResponse(changed, "The row isn't what `If-Match` says.")
        if action in _BODIES:
            found[413] = OpenApiResponse(error, "The body is too large.")
            found[415] = OpenApiResponse(error, "The body is of no known type.")
        # By the binding's throttles; but `connection_groups` may say so, too.
        found[429] = OpenApiResponse(error, "Too often; `Retry-After` says when.")
        found[503] = OpenApiResponse(error, "The database is away or busy; try again.")
        if action in ("list", "retrieve"):
            found[304] = OpenApiResponse(None, "It is what `If-None-Match` says.")
        return found

    def get_override_parameters(self) -> list[Any]:
        action, binding = self.view.action, self.view.binding
        found: list[Any] = [] if binding.parameters is None else [binding.parameters]
        if self.view.detail:
            found.append(_parameter("pk", "path", _key_schema(self.view.binding), "Primary key."))
        if action == "list":
            number = {"type": "integer", "minimum": 1, "maximum": settings.LIST_LIMIT}
            found += [
                _parameter(LIMIT, "query", number, "Rows in a page."),
                _parameter(CURSOR, "query", {"type": "string"}, 'From the "next" of a page.'),
            ]
            if self.view.ordering_fields:
                names = [
                    f"{sign}{name}" for name in self.view.ordering_fields for sign in ("", "-")
                ]
                found.append(
                    OpenApiParameter(
                        api_settings.ORDERING_PARAM,
                        {"type": "array", "items": {"type": "string", "enum": names}},
                        description="Names of fields, with - for falling.",
                        style="form",
                        explode=False,
                    )
                )
        tag = {"type": "string"}
        if action in ("list", "retrieve"):
            found.append(_parameter("If-None-Match", "header", tag, "An `ETag`: 304 if it is so."))
        elif action not in ("create", "act"):
            found.append(_parameter("If-Match", "header", tag, "An `ETag`: 412 unless it is so."))
        if action == "create":
            key = {"type": "string", "minLength": UNGUESSABLE, "maxLength": MOST}
            about = "A create that comes again with the same key is stored once."
            found.append(_parameter("Idempotency-Key", "header", key, about))
        texts = [("Retry-After", [429, 503]), ("WWW-Authenticate", [401]), ("Location", [201])]
        if action not in ("destroy", "act"):
            texts.append(("ETag", [200, 201, 304, 412]))
        for name, codes in texts:
            found.append(OpenApiParameter(name, str, OpenApiParameter.HEADER, response=codes))
        return found

    def _map_serializer_field(
        self, field: Any, direction: Any, bypass_extensions: bool = False
    ) -> Any:
        mapped: Any = super()._map_serializer_field
        schema = mapped(field, direction, bypass_extensions)
        binding = self.view.binding
        if direction == "response" and isinstance(field, serializers.FloatField):
            # Of an infinity or NaN, which JSON can't say, only a binding's own words can be null.
            own = binding.serialize_data is not Binding.serialize_data
            return {**schema, "nullable": True} if own else schema
        if isinstance(field, serializers.ManyRelatedField) and not field.allow_empty:
            return schema if direction == "response" else {**schema, "minItems": 1}
        return schema

    def _get_format_parameters(self) -> list[Any]:
        return []  # For browsers; programs say what they accept in the header.

    def get_auth(self) -> Any:
        names = {"partial_update": "update", "destroy": "delete", "act": self.view.extra}
        action = names.get(self.view.action, self.view.action)
        anybody = Actions(
            self.view.binding, AnonymousUser(), frozenset(), self.view.consumer_class()
        )
        found: Any = super().get_auth()
        try:
            anybody.permit(action)
        except exceptions.APIException:
            return found
        return [*found, {}]


class _Base64(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "databinding.serializers.Base64Field"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return {"type": "string", "format": "byte"}


def shared_answer(registry: Any, name: str) -> dict[str, str]:
    """A schema that answers of all kinds refer to, in whichever document they are described.

    "Error" has a sentence, "Invalid" errors by name, "Changed" the row as it is.
    """
    component = ResolvedComponent(  # type: ignore[no-untyped-call]
        name=name, type=ResolvedComponent.SCHEMA, schema=_SCHEMAS[name], object=name
    )
    registry.register_on_missing(component)
    reference: dict[str, str] = component.ref
    return reference


def _parameter(name: str, place: Any, schema: Any, description: str) -> OpenApiParameter:
    required = place == "path"
    return OpenApiParameter(name, schema, place, required=required, description=description)


def _key_field(binding: type[Binding]) -> serializers.Field[Any, Any, Any, Any]:
    kind = column(binding.model._meta.pk).get_internal_type()
    if "Integer" in kind or "Auto" in kind:
        return serializers.IntegerField(read_only=True)
    if kind == "UUIDField":
        return serializers.UUIDField(read_only=True)
    return serializers.CharField(read_only=True)


def _key_schema(binding: type[Binding]) -> dict[str, Any]:
    match _key_field(binding):
        case serializers.IntegerField():
            return {"type": "integer"}
        case serializers.UUIDField():
            return {"type": "string", "format": "uuid"}
    return {"type": "string"}


_rows: dict[type[Binding], type[serializers.Serializer[Any]]] = {}


def _row_of(binding: type[Binding]) -> serializers.Serializer[Any]:
    """What is read and written of a row: the binding's serializer, its key and its members."""
    if binding not in _rows:
        _rows[binding] = _row_class(binding)
    return _rows[binding]()


def _row_class(binding: type[Binding]) -> type[serializers.Serializer[Any]]:
    written: Any = serializer_class_for(binding)

    def get_fields(self: Any) -> Any:
        fields = written.get_fields(self)
        extra = {name: serializers.JSONField(read_only=True) for name in binding.extra_names()}
        return {"pk": _key_field(binding), **fields, **extra}

    return type(f"{_name(binding)}Serializer", (written,), {"get_fields": get_fields})


def _name(binding: type[Binding]) -> str:
    """Of its rows, in the description."""
    return binding.__name__.removesuffix("Binding")


class _Generator(SchemaGenerator):
    def coerce_path(self, path: str, method: str, view: Any) -> str:
        return path  # ``pk``, whatever the field's name is.


class _Schema(KnowsCallers, SpectacularAPIView):
    """Made once in a process, and answered with the addresses at which it is asked for."""

    demultiplexer: Any = None
    #: The name of the route by which streams are sent as events.
    events: str | None = None
    schema = None  # A project's own description has no place for it.

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        patterns = tuple(self.patterns or ())
        document, events = _document(self.demultiplexer, get_language(), patterns)
        here = request.path.removesuffix("/").rpartition("/")[0]
        paths = {here + address: operations for address, operations in document["paths"].items()}
        if self.events is not None:
            for stream, operation in events.items():
                # A name with a slash, say, has no address where the route takes none.
                with suppress(NoReverseMatch):
                    address = reverse(self.events, kwargs={**kwargs, "stream": stream})
                    paths[address] = {"get": operation}
            schemas = {
                **document["components"]["schemas"],
                event_streams.NAME: event_streams.SCHEMA,
            }
            document = {**document, "components": {**document["components"], "schemas": schemas}}
        return Response({**document, "paths": paths})


_generating = threading.Lock()


@lru_cache(maxsize=64)
def _document(
    demultiplexer: type[WebSocketDemultiplexer], language: str | None, patterns: tuple[Any, ...]
) -> tuple[Any, dict[str, Any]]:
    """The document, and how each stream's events are asked for."""
    generator: Any = _Generator(patterns=list(patterns))  # type: ignore[no-untyped-call]
    # Its settings are changed for everybody meanwhile.
    with _generating, patched_settings(_SETTINGS):
        document: Any = generator.get_schema(None, public=True)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    events = {}
    for stream in demultiplexer.consumers:
        binding = demultiplexer.binding_of(stream)
        if binding is None:
            continue
        listing = document["paths"].get(f"/{stream}/", {}).get("get", {})
        events[stream] = event_streams.operation(stream, binding, listing)
        row = schemas.get(_name(binding), {})
        # All fields are always there, unless it depends on the user which ones are.
        row["required"] = ["pk"] if binding.is_personal() else list(row.get("properties", ()))
        for name in (f"{_name(binding)}Request", f"Patched{_name(binding)}Request"):
            if name in schemas:
                schemas[name]["additionalProperties"] = False  # Unknown fields are refused.
    return document, events


class _Page(KnowsCallers, SpectacularSwaggerSplitView):
    url = "../schema/"
    title = "API"
    schema = None


def description_urls(
    demultiplexer: type[WebSocketDemultiplexer],
    urls: Sequence[URLPattern | URLResolver],
    events: str | None,
) -> list[URLPattern]:
    """The addresses of the description; of the page only where its templates can be found."""
    schema = _Schema.as_view(demultiplexer=demultiplexer, patterns=urls, events=events)
    found = [path("schema/", schema, name="rest-schema")]
    if apps.is_installed("drf_spectacular"):
        found.append(path("docs/", _Page.as_view(), name="rest-docs"))
    return found
