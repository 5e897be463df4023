"""The REST door: the bindings of a demultiplexer as resources, with Django REST framework.

    from databinding.rest import rest_urls

    path("api/", include(rest_urls(Demultiplexer)))

serves each stream that carries a binding at ``/api/<stream>/`` and ``/api/<stream>/<pk>/``. What
is permitted, visible, valid or a conflict is what it is on the websocket: both doors call
`databinding.actions`, in the groups that the demultiplexer says. With drf-spectacular (the extra
"rest") ``/api/schema/`` has its OpenAPI description and ``/api/docs/`` a page made of it.
docs/reference/rest.md says what clients see.
"""

from databinding.rest.addresses import rest_urls

__all__ = ["rest_urls"]
