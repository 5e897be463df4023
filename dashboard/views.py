from django.views.decorators.cache import never_cache
from django.views.generic import TemplateView

from values.models import IntegerValue

#: The page carries rows and a cursor of this very moment, and the user's name: never from a cache.
dashboard = never_cache(TemplateView.as_view(template_name="dashboard/index.html"))


class ElementsView(TemplateView):
    """Each live element, with the lines that put it into a page."""

    template_name = "dashboard/elements.html"

    def get_context_data(self, **kwargs):
        return super().get_context_data(**kwargs, value=IntegerValue.objects.first())


elements = never_cache(ElementsView.as_view())
