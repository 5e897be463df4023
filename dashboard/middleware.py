"""Static files under ASGI."""

from contextlib import closing

from django.http import HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware


class StaticFiles(WhiteNoiseMiddleware):
    """WhiteNoise, each file answered in one piece.

    Its own response reads the file bit by bit, synchronously; Django warns about that under ASGI
    and reads it in one piece anyway.
    """

    @staticmethod
    def serve(static_file, request):
        with closing(WhiteNoiseMiddleware.serve(static_file, request)) as response:
            return HttpResponse(
                b"".join(response), status=response.status_code, headers=response.headers
            )
