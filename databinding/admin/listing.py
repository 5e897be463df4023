"""A change list without the rows that can't be read or shown: all others can be worked with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from django.http import HttpRequest

from databinding.admin.showing import can_be_shown
from databinding.legible import left_out, legible_page

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList

    _Base = ChangeList
else:
    _Base = object


class Fixed(list[Any]):
    """Rows that are read already, as a formset asks for them."""

    ordered = totally_ordered = True  # as Django to 6.0 and from 6.1 on asks
    db = None

    def all(self) -> Fixed:
        return self


class LegibleList(_Base):
    """Put before a `ChangeList`."""

    #: The keys of those rows of the page that can't be read or shown.
    left_out: tuple[Any, ...] = ()

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        page: Any = self.result_list
        if not isinstance(page, QuerySet):
            return
        found, keys = legible_page(self.queryset, page)
        shown = [row for row in found if can_be_shown(row, self.list_display)]
        if keys or len(shown) < len(found):
            self.left_out = tuple(left_out(shown, keys or [row.pk for row in found]))
            self.result_list = Fixed(shown)


def legible_list(base: type[ChangeList]) -> type[ChangeList]:
    """That change list, legible."""
    return type(base.__name__, (LegibleList, base), {})
