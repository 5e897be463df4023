"""Filters, with django-filter (the extra "rest"), that leave no room for misunderstandings."""

from __future__ import annotations

from typing import Any

from django import forms
from django.template import loader
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import exceptions


class _Keys(forms.TextInput):
    """In the place of a choice of several rows: what was said for them."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        return data.getlist(name)

    def format_value(self, value: Any) -> str:
        return ", ".join(map(str, value or ()))


class Filters(DjangoFilterBackend):
    """Refuses also what django-filter passes over, and would answer with all rows."""

    def get_filterset(self, request: Any, queryset: Any, view: Any) -> Any:
        filterset = super().get_filterset(request, queryset, view)
        for name, one in list(filterset.filters.items()):
            if view.withholds(one.field_name or ""):
                del filterset.filters[name]
        return filterset

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        rows = super().filter_queryset(request, queryset, view)  # Raises for what isn't valid.
        form = self.get_filterset(request, queryset, view).form
        form.is_valid()
        wrong = {
            name: ["This isn't a valid value."]
            for name, value in form.cleaned_data.items()
            if value is None and request.query_params.get(name)
        }
        if wrong:
            raise exceptions.ValidationError(wrong)
        return rows

    def to_html(self, request: Any, queryset: Any, view: Any) -> Any:
        filterset = self.get_filterset(request, queryset, view)
        for name, field in filterset.form.fields.items():
            # Not a choice from all the rows there are, whoever may see them, unless the binding's
            # filters say from which.
            if isinstance(field, forms.ModelChoiceField) and not callable(
                getattr(filterset.filters[name], "queryset", None)
            ):
                several = isinstance(field, forms.ModelMultipleChoiceField)
                field.widget = _Keys() if several else forms.TextInput()
        return loader.get_template(self.template).render({"filter": filterset}, request)

    def names(self, request: Any, queryset: Any, view: Any) -> set[str]:
        """The parameters that these filters know."""
        known: set[str] = set()
        for name, field in self.get_filterset(request, queryset, view).form.fields.items():
            known.add(name)
            # Those of ranges and the like say each of their parts by itself.
            known.update(f"{name}_{part}" for part in getattr(field.widget, "suffixes", ()))
            known.update(f"{name}{part}" for part in getattr(field.widget, "widgets_names", ()))
        return known
