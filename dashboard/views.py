from django.views.decorators.cache import never_cache
from django.views.generic import TemplateView

#: The page carries rows and a cursor of this very moment, and the user's name: never from a cache.
dashboard = never_cache(TemplateView.as_view(template_name="dashboard/index.html"))
