"""What was, by HTTP: histories and lists of changes, for whoever may see the value.

    path("api/values/", include(history_urls(Demultiplexer)))

    GET <stream>/<pk>/history/?from=…&to=…&points=…
    GET <stream>/<pk>/changes/?before=…&limit=…
    GET <stream>/history/?pk=1,2,3&from=…&to=…&points=…
    GET ?at=…&after=…&limit=…

The binding of the stream is asked as for `retrieve` and, of all values as they stood at a moment,
as for `list`: who may not see a value learns nothing of its past. One that was deleted since is for
whoever is in a group that its last form would be in.
"""

from values.api.addresses import history_urls

__all__ = ["history_urls"]
