"""That the browser tests stand on solid ground: a page is really drawn, really logged in."""

import struct
import zlib


def colours(png):
    """How many different pixels an RGB or RGBA picture without interlacing has, at least roughly:
    the different bytes of its uncompressed rows."""
    data, position = b"", 8
    while position < len(png):
        (length,) = struct.unpack(">I", png[position : position + 4])
        if png[position + 4 : position + 8] == b"IDAT":
            data += png[position + 8 : position + 8 + length]
        position += 12 + length
    return len(set(zlib.decompress(data)))


async def test_the_browser_draws_text(start_server, open_page):
    """A screenshot of the log-in page isn't blank: the browser has fonts."""
    server = start_server()
    page = await open_page(server.url + "/accounts/login/")
    assert colours(await page.screenshot()) > 8


async def test_a_page_can_be_opened_as_a_user(start_server, open_page, admin_user):
    """A page opened as a user is logged in, on the server's own terms."""
    server = start_server()
    page = await open_page(server.url + "/admin/", user=admin_user)
    assert "Site administration" in await page.inner_text("body")
