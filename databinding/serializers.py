"""What clients say of rows, as their models have it: serializers made of bindings' fields, keys."""

from __future__ import annotations

from copy import copy
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import Model
from django.http import Http404
from rest_framework import exceptions
from rest_framework.serializers import ModelSerializer, Serializer

from databinding.binding import Binding
from databinding.keys import column
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
    except (DjangoValidationError, TypeError, ValueError, OverflowError):
        raise Http404 from None
    return value


class _FieldsSerializer(ModelSerializer[Any]):
    """What a form of Django's asks of a row, too: its model's `clean` and constraints."""

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
