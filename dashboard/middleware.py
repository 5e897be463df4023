"""Static files under ASGI, and what browsers may load into pages."""

from contextlib import closing

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware

from .compression import compress


class StaticFiles(WhiteNoiseMiddleware):
    """WhiteNoise, each file answered in one piece, and compressed: nobody has to collect files.

    Its own response reads the file bit by bit, synchronously; Django warns about that under ASGI
    and reads it in one piece anyway. With DEBUG on files go as they are, for whoever works on them.
    `settings.OWN_MODULES` are the folders of static files that have this project's modules.
    """

    @staticmethod
    def serve(static_file, request):
        with closing(WhiteNoiseMiddleware.serve(static_file, request)) as found:
            response = HttpResponse(
                b"".join(found), status=found.status_code, headers=found.headers
            )
        if not settings.DEBUG:
            folder = request.path_info.removeprefix(settings.STATIC_URL).partition("/")[0]
            ours = folder in settings.OWN_MODULES and request.path_info.endswith(".js")
            compress(request, response, ours=ours)
        return response


class ContentSecurityPolicy:
    """Says which scripts and styles belong to a page, so that no others are run (CSP, level 3).

    `settings.CONTENT_SECURITY_POLICY` has the directives; under the paths of
    `settings.INLINE_STYLES` styles may stand in the page itself. A response with a policy of its
    own keeps it. (Django 6 has the like; this serves 5.2, too.)
    """

    sync_capable = async_capable = True

    def __init__(self, get_response):
        self.get_response = get_response
        self._policy = _written(settings.CONTENT_SECURITY_POLICY)
        self._with_styles = _written(
            settings.CONTENT_SECURITY_POLICY | {"style-src": ["'self'", "'unsafe-inline'"]}
        )
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request):
        if iscoroutinefunction(self):
            return self._answer(request)
        return self._protected(request, self.get_response(request))

    async def _answer(self, request):
        return self._protected(request, await self.get_response(request))

    def _protected(self, request, response):
        # Django's own pages of errors have styles and scripts in them, for developers alone.
        if not (settings.DEBUG and response.status_code in (404, 500)):
            inline = request.path.startswith(tuple(settings.INLINE_STYLES))
            policy = self._with_styles if inline else self._policy
            response.headers.setdefault("Content-Security-Policy", policy)
        return response


def _written(directives):
    return "; ".join(f"{name} {' '.join(sources)}" for name, sources in directives.items())
