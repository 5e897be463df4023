"""Lists in pages: how many rows are asked for, and where the next ones begin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.template import loader
from rest_framework import exceptions
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.utils.urls import replace_query_param

from databinding.admission import valid_limit
from databinding.conf import settings
from databinding.keyset import Order, Position

LIMIT, CURSOR = "limit", "cursor"

#: Rows in a page, unless the client or Django REST framework's PAGE_SIZE says otherwise.
_PAGE_SIZE = 100


class Pages(BasePagination):
    """``{"next": address or null, "results": […]}``: a page begins behind the one before it."""

    display_page_controls = False
    template = "rest_framework/pagination/previous_and_next.html"
    next_address: str | None = None

    def limit(self, request: Request) -> int:
        """Rows in a page. Raises `ValidationError`."""
        most = settings.LIST_LIMIT
        said: Any = request.query_params.get(LIMIT)
        if isinstance(said, str):
            said = int(said) if said.isascii() and said.isdigit() and len(said) < 10 else 0
        return valid_limit(said, min(api_settings.PAGE_SIZE or _PAGE_SIZE, most), most)

    def after(self, request: Request, order: Order) -> Position | None:
        """Where the page begins. Raises `ValidationError`."""
        text = request.query_params.get(CURSOR)
        if text is None:
            return None
        try:
            return order.parse(text)
        except ValueError:
            message = 'This isn\'t from the "next" of a page in this order.'
            raise exceptions.ValidationError({CURSOR: [message]}) from None

    def answered(self, request: Request, results: list[Any], next_cursor: str | None) -> Any:
        if next_cursor is not None:
            here = request.build_absolute_uri()
            self.next_address = replace_query_param(here, CURSOR, next_cursor)
            self.display_page_controls = True
        return {"next": self.next_address, "results": results}

    # What Django REST framework's pages and drf-spectacular ask

    def get_results(self, data: Any) -> Any:
        return data["results"]

    def to_html(self) -> str:
        context = {"previous_url": None, "next_url": self.next_address}
        return loader.get_template(self.template).render(context)

    def get_paginated_response_schema(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        address = {
            "type": "string",
            "format": "uri",
            "nullable": True,
            "description": "The page after this one; null: this is the last.",
        }
        return {
            "type": "object",
            "required": ["next", "results"],
            "properties": {"next": address, "results": schema},
        }
