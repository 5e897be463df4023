"""What browsers have to load: compressed, without comments, and less than the bar for each page."""

import gzip
import json
import os
import re
import shutil
import subprocess
from posixpath import join, normpath

import pytest
from django.test import override_settings
from django.urls import reverse

from chat.models import Room
from dashboard.compression import without_comments
from databinding.relay import stop_relays
from tests.servers import CHECKOUT
from values.models import IntegerValue

pytestmark = pytest.mark.django_db  # a response that is closed looks after connections

FRONTEND = CHECKOUT / "frontend"
MODULES = sorted(
    path
    for folder in ("databinding", "dashboard", "chat")
    for path in (FRONTEND / folder).rglob("*.js")
)
#: Bytes of JavaScript that a page may need: all it may ever import, but the library of charts.
BAR = 60_000
#: Static and dynamic imports, and what is exported from elsewhere.
IMPORTED = re.compile(r"""(?:\bfrom\s*|\bimport\s*\(?\s*)["'](\.{1,2}/[^"']+)["']""")
SCRIPT = re.compile(r"""<script[^>]*\bsrc="([^"]+)"[^>]*>""")
#: Prints which of [name, source, shipped] are other programs.
COMPARE = """
import ts from "typescript";
const options = { compilerOptions: { target: "esnext", module: "esnext", removeComments: true } };
const program = (text) => ts.transpileModule(text, options).outputText;
let text = "";
for await (const part of process.stdin) text += part;
console.log(JSON.stringify(JSON.parse(text)
  .filter(([, source, shipped]) => program(source) !== program(shipped))
  .map(([name]) => name)));
"""


def fetched(client, url, **headers):
    response = client.get(url, headers={"Accept-Encoding": "gzip", **headers})
    assert response.status_code == 200, url
    return response


def weights(client, page):
    """Bytes over the wire of each module that the page may ever load, by its address."""
    html = fetched(client, page).content.decode()
    wanted = [
        url
        for url in SCRIPT.findall(html)
        if url.split("/")[2] in ("databinding", "dashboard", "chat")
    ]
    assert wanted, page
    found = {}
    while wanted:
        url = wanted.pop()
        if url in found:
            continue
        sent = fetched(client, url).content
        found[url] = len(sent)
        text = gzip.decompress(sent) if sent[:2] == b"\x1f\x8b" else sent
        wanted += [normpath(join(url, "..", name)) for name in IMPORTED.findall(text.decode())]
    return found


@pytest.fixture
def pages(transactional_db):
    """Pages read their rows by a relay, which must not outlive the test."""
    yield
    stop_relays()


def test_each_page_needs_little_javascript(client, admin_user, pages):
    """Dashboard, chat, elements and admin each stay below the bar with all they may import."""
    client.force_login(admin_user)
    value = IntegerValue.objects.create(name="pump")
    room = Room.objects.create(label="lobby", name="Lobby")
    addresses = {
        "dashboard": reverse("dashboard"),
        "chat": reverse("chat:room", args=[room.label]),
        "elements": reverse("elements"),
        "list of the admin": "/admin/values/integervalue/",
        "form of the admin": f"/admin/values/integervalue/{value.pk}/change/",
    }
    found = {name: weights(client, page) for name, page in addresses.items()}
    totals = {name: sum(modules.values()) for name, modules in found.items()}
    for name, total in totals.items():
        print(f"{name}: {total:,} bytes in {len(found[name])} modules")
    every = {url: size for modules in found.values() for url, size in modules.items()}
    print(f"all together: {sum(every.values()):,} bytes in {len(every)} modules")
    assert {name: total for name, total in totals.items() if total >= BAR} == {}
    # None was overlooked.
    assert {url.removeprefix("/static/") for url in every} == {
        path.relative_to(FRONTEND).as_posix() for path in MODULES
    }


def test_without_its_comments_a_module_is_the_same_program():
    """TypeScript's parser finds no difference; no line has moved; and it is much less."""
    sources = {path: path.read_bytes() for path in MODULES}
    shipped = {path: without_comments(source) for path, source in sources.items()}
    assert {
        path for path in MODULES if sources[path].count(b"\n") != shipped[path].count(b"\n")
    } == set()
    assert sum(map(len, shipped.values())) < 0.8 * sum(map(len, sources.values()))
    triples = [[path.name, sources[path].decode(), shipped[path].decode()] for path in MODULES]
    # It is able to tell.
    triples.append(
        ["other", "f(`\n// a line\n`)", without_comments(b"f(`\n// a line\n`)").decode()]
    )
    node = os.environ.get("PLAYWRIGHT_NODEJS_PATH") or shutil.which("node")
    compared = subprocess.run(
        [node, "--input-type=module", "--eval", COMPARE],
        cwd=FRONTEND,
        input=json.dumps(triples),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(compared.stdout) == ["other"]


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br", "gzip"),
        ("br;q=1.0, gzip;q=0.8", "gzip"),
        ("identity", None),
        ("gzip;q=0, br", None),
        ("", None),
    ],
)
def test_who_reads_gzip_gets_it(client, accepted, encoding):
    """Who can't read it, or says that they don't want it, gets the file as it lies there."""
    response = client.get("/static/databinding/index.js", headers={"Accept-Encoding": accepted})
    assert response.headers.get("Content-Encoding") == encoding
    assert response.headers["Vary"] == "Accept-Encoding"
    assert response.headers["Content-Length"] == str(len(response.content))
    if encoding is None:
        assert response.content == (FRONTEND / "databinding/index.js").read_bytes()


def test_a_compressed_file_is_asked_about_like_another(client):
    """What a browser holds compressed is known by its validators; HEAD says no length."""
    first = fetched(client, "/static/databinding/index.js")
    validator = first.headers["ETag"]
    again = client.get(
        "/static/databinding/index.js",
        headers={"Accept-Encoding": "gzip", "If-None-Match": validator},
    )
    assert (again.status_code, again.content) == (304, b"")
    head = client.head("/static/databinding/index.js", headers={"Accept-Encoding": "gzip"})
    assert head.status_code == 200
    assert "Content-Length" not in head.headers


def test_others_files_keep_their_licences(client):
    """Of what others wrote nothing is left out; pictures and fonts aren't compressed."""
    jquery = fetched(client, "/static/admin/js/vendor/jquery/jquery.js").content
    assert b"Released under the MIT license" in gzip.decompress(jquery)
    plain = fetched(client, "/static/drf_spectacular_sidecar/swagger-ui-dist/favicon-32x32.png")
    assert "Content-Encoding" not in plain.headers


@override_settings(DEBUG=True)
def test_developers_get_files_as_they_are(client):
    """With DEBUG on nothing is compressed, and comments are there to be read."""
    found = fetched(client, "/static/databinding/index.js")
    assert found.content == (FRONTEND / "databinding/index.js").read_bytes()
