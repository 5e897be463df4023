"""What static files weigh on their way: nobody builds them, so the server makes them small.

Text is compressed when it is first asked for. The project's own modules go without types and the
comments that have lines of their own, a third of what they would weigh; their lines stay where they
are, so that a browser's console names the same ones as an editor. Others' files keep theirs, with
their licences.
"""

import gzip
import re
from functools import lru_cache

from django.utils.cache import patch_vary_headers

TEXT = ("text/", "application/json", "image/svg+xml")
#: Less than this goes in one packet anyway (bytes).
LEAST = 1000
ACCEPTED = re.compile(r"(?:^|,)\s*(?:x-)?gzip\s*(?:;(?!\s*q=0(?:\.0*)?\s*(?:,|$))|,|$)")
COMMENTS = re.compile(
    rb"^[ \t]*(?:/\*\*(?:(?!\*/).)*\*/|//[^\n]*)[ \t]*$|/\*\*(?:(?!\*/).)*\*/",
    re.MULTILINE | re.DOTALL,
)


def compress(request, response, *, ours):
    """Make the answer small if the browser can read that; `ours`: it is one of our modules."""
    if not response.headers.get("Content-Type", "").startswith(TEXT):
        return
    patch_vary_headers(response, ["Accept-Encoding"])
    if response.status_code != 200 or not ACCEPTED.search(
        request.headers.get("Accept-Encoding", "")
    ):
        return
    if request.method == "HEAD":
        del response.headers["Content-Length"]  # it is said of the file as it lies there
    elif len(response.content) >= LEAST:
        response.content = compressed(response.content, ours)
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Content-Length"] = str(len(response.content))


@lru_cache(maxsize=512)
def compressed(content, ours):
    return gzip.compress(without_comments(content) if ours else content, 9, mtime=0)


def without_comments(module):
    """The module without JSDoc, and without comments that have lines of their own: these are empty.

    That holds for modules in which no text and no template literal has the like; tests compare what
    is left of each, by TypeScript's parser.
    """
    return COMMENTS.sub(lambda comment: b"\n" * comment[0].count(b"\n"), module)
