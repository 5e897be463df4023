"""What a list is narrowed and ordered by, as far as its binding declares that.

Never by a field that this user doesn't get to read: whoever may ask which rows have more of it
than this or that soon knows what they have.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib.util import find_spec
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from rest_framework import exceptions
from rest_framework.filters import OrderingFilter, SearchFilter
from rest_framework.request import Request
from rest_framework.settings import api_settings

from databinding.binding import Binding
from databinding.refusals import refuse

#: Words of one search at most, and their letters: each costs a condition more for every row.
_MOST_WORDS, _MOST_LETTERS = 20, 1_000


def allowed(view: Any, names: Collection[str]) -> list[str]:
    """Those of these names of fields, with their marks, that the user may go by."""
    return [name for name in names if not view.withholds(name.lstrip("-^=@$"))]


class Search(SearchFilter):
    def get_search_fields(self, view: Any, request: Any) -> Any:
        return allowed(view, view.search_fields)

    def get_search_terms(self, request: Any) -> Any:
        try:
            words = super().get_search_terms(request)
        except exceptions.ValidationError as error:
            raise exceptions.ValidationError({self.search_param: error.detail}) from None
        if len(words) > _MOST_WORDS or sum(map(len, words)) > _MOST_LETTERS:
            most = f"At most {_MOST_WORDS} words, and {_MOST_LETTERS} letters."
            raise exceptions.ValidationError({self.search_param: [most]})
        return words

    def names(self, request: Any, queryset: Any, view: Any) -> set[str]:
        return {self.search_param} if self.get_search_fields(view, request) else set()


class Ordering(OrderingFilter):
    """Reads the order that a client asks for; `databinding.keyset` puts the rows into it."""

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        return queryset

    def get_valid_fields(self, queryset: Any, view: Any, context: Any = None) -> Any:
        return [(name, name) for name in allowed(view, view.ordering_fields)]

    def names(self, request: Any, queryset: Any, view: Any) -> set[str]:
        return {self.ordering_param}


def order_of(request: Request, view: Any) -> list[str]:
    """The names that the client gives, each once. Raises `ValidationError` for those not declared.

    So there are no more of them than are declared: what comes after a position takes conditions
    that grow with the square of their number.
    """
    parameter, known = api_settings.ORDERING_PARAM, allowed(view, view.ordering_fields)
    said = request.query_params.get(parameter, "")
    names = [name.strip() for name in said.split(",") if name.strip()]
    there: set[str] = set()
    for name in names:
        column = name.removeprefix("-")
        if column not in known or column in there:
            again = " a second time" if column in there else ""
            raise exceptions.ValidationError(
                {parameter: [f"One can't order by {name[:100]!r}{again}."]}
            )
        there.add(column)
    return names


def backends_of(binding: type[Binding]) -> list[Any]:
    """Each has `filter_queryset`, `to_html` and `names`, the parameters that it knows."""
    backends: list[Any] = []
    if binding.filterset_fields or binding.filterset_class is not None:
        if find_spec("django_filters") is None:
            raise ImproperlyConfigured(
                f"{binding.__qualname__} declares filters, for which django-filter is needed: "
                "install django-databinding[rest]."
            )
        from databinding.rest.filters import Filters

        backends.append(Filters)
    if binding.search_fields:
        backends.append(Search)
    if binding.ordering_fields:
        backends.append(Ordering)
    return backends


def refuse_unknown(request: Request, view: Any, rows: Any, known: set[str]) -> None:
    """A misspelt filter would be none, and its client take all rows for those that it wanted."""
    for backend in view.filter_backends:
        known |= backend().names(request, rows, view)
    unknown = (name for name in request.query_params if name not in known)
    refuse(unknown, "There is no such parameter.")
