"""Which address is whose."""

from django.urls import path

from values.api.views import ChangesView, HistoriesView, HistoryView, MomentView


def history_urls(demultiplexer):
    """The addresses of the pasts of the values that this demultiplexer carries; to be included."""

    def view(of):
        return of.as_view(demultiplexer=demultiplexer)

    return [
        path("", view(MomentView), name="moment"),
        path("<str:stream>/history/", view(HistoriesView), name="histories"),
        path("<str:stream>/<str:pk>/history/", view(HistoryView), name="history"),
        path("<str:stream>/<str:pk>/changes/", view(ChangesView), name="changes"),
    ]
