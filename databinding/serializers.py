"""What clients say of rows, as their models have it: serializers made of bindings' fields, keys."""

from __future__ import annotations

import base64
from copy import copy
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import connections, models, router
from django.db.models import Model
from django.db.models.fields import NOT_PROVIDED
from django.http import Http404
from rest_framework import exceptions
from rest_framework.relations import MANY_RELATION_KWARGS
from rest_framework.serializers import (
    Field,
    ManyRelatedField,
    ModelField,
    ModelSerializer,
    PrimaryKeyRelatedField,
    Serializer,
)

from databinding.binding import Binding
from databinding.keys import as_read, column
from databinding.parts import parts
from databinding.refusals import invalid

_serializers: dict[type[Binding], type[Serializer[Any]]] = {}


def serializer_class_for(binding: type[Binding]) -> type[Serializer[Any]]:
    """The binding's serializer, or one made of its fields."""
    if binding.serializer_class is not None:
        return binding.serializer_class
    if binding not in _serializers:
        meta = type("Meta", (), {"model": binding.model, "fields": binding.field_names()})
        name = f"{binding.__name__}Serializer"
        _serializers[binding] = type(name, (_FieldsSerializer,), {"Meta": meta})
    return _serializers[binding]


def key_said(model: type[Model], pk: Any, name: str = "pk") -> Any:
    """The primary key that a client says. Raises `Http404` for what no row of the model has as one,
    and `ValidationError`, by the name of the parameter, for what is none at all.
    """
    if isinstance(pk, (bool, float, list, dict)):
        raise exceptions.ValidationError({name: ["This isn't a primary key."]})
    field = column(model._meta.pk)
    if isinstance(pk, str) and "\0" in pk:
        raise Http404  # PostgreSQL's texts hold no NUL.
    try:
        value = field.to_python(pk)
        field.run_validators(value)
        return as_read(field, value, connections[router.db_for_write(model)])
    except (DjangoValidationError, TypeError, ValueError, ArithmeticError):
        raise Http404 from None


class Base64Field(Field[Any, Any, Any, Any]):
    """Binary data as it stands on the wire."""

    default_error_messages = {"invalid": "This isn't base64."}

    def to_internal_value(self, data: Any) -> bytes:
        try:
            # Of anything else than a text b64decode says that it is a TypeError.
            return base64.b64decode(data, validate=True)
        except (TypeError, ValueError):
            self.fail("invalid")

    def to_representation(self, value: Any) -> str:
        return base64.b64encode(value).decode()


class _OtherField(ModelField):
    """What Django REST framework has no field for, as the model's own reads it."""

    def to_internal_value(self, data: Any) -> Any:
        try:
            return super().to_internal_value(data)
        except (TypeError, ValueError, ArithmeticError, AttributeError):
            raise exceptions.ValidationError(["This isn't a valid value."]) from None


class _Related(PrimaryKeyRelatedField[Any]):
    """A related row by its key; several of them all at once."""

    @classmethod
    def many_init(cls, *args: Any, **kwargs: Any) -> ManyRelatedField:
        options = {name: value for name, value in kwargs.items() if name in MANY_RELATION_KWARGS}
        return _AllRelated(child_relation=cls(*args, **kwargs), **options)


class _AllRelated(ManyRelatedField):
    """Rows by their keys, found by a few queries: with one for each a frame would take minutes."""

    child_relation: Any

    def to_internal_value(self, data: Any) -> list[Model]:
        if not isinstance(data, list):
            self.fail("not_a_list", input_type=type(data).__name__)
        if not self.allow_empty and not data:
            self.fail("empty")
        rows: Any = self.child_relation.get_queryset()
        said = {self._key(rows.model, item): item for item in data}
        found = {row.pk: row for some in parts(said) for row in rows.filter(pk__in=some)}
        for key, item in said.items():
            if key not in found:
                self.child_relation.fail("does_not_exist", pk_value=item)
        return list(found.values())

    def _key(self, model: type[Model], item: Any) -> Any:
        try:
            return key_said(model, item)
        except Http404:
            self.child_relation.fail("does_not_exist", pk_value=item)
        except exceptions.ValidationError:
            self.child_relation.fail("incorrect_type", data_type=type(item).__name__)


class _FieldsSerializer(ModelSerializer[Any]):
    """What a form of Django's asks of a row, too: its model's `clean` and constraints."""

    serializer_field_mapping = {
        **ModelSerializer.serializer_field_mapping,
        models.BinaryField: Base64Field,
        models.Field: _OtherField,
    }
    serializer_related_field = _Related

    def build_field(self, field_name: str, info: Any, model_class: Any, nested_depth: int) -> Any:
        made, options = super().build_field(field_name, info, model_class, nested_depth)
        field: Any = model_class._meta.get_field(field_name)
        if getattr(field, "db_default", NOT_PROVIDED) is not NOT_PROVIDED:
            options["required"] = False  # The database knows what it is.
        return made, options

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        model: Any = self.Meta.model
        row: Any = copy(self.instance) if self.instance is not None else model()
        related = {field.name for field in model._meta.many_to_many}
        for name, value in attrs.items():
            if name not in related:
                setattr(row, name, value)
        # Of fields that can't be written here nothing is known yet where the row is new.
        left_out = {field.name for field in model._meta.fields} - {*self.fields}
        try:
            row.clean()
            row.validate_constraints(exclude=left_out if self.instance is None else None)
        except DjangoValidationError as error:
            raise invalid(error) from None
        return attrs
