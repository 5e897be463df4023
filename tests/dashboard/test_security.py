"""What browsers are told of pages: where they go by, and what may run in them."""

import asyncio
import http.client

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import AsyncRequestFactory, RequestFactory, override_settings
from django.urls import reverse

from dashboard.middleware import ContentSecurityPolicy

POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'"
)


def policy(response):
    return response.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "address", ["/", "/chat/", "/chat/lobby/", "/accounts/login/", "/admin/login/", "/nowhere/"]
)
def test_pages_have_nothing_inline(address, client, transactional_db):
    """Every page, also one that isn't there, says that only this site's files belong to it."""
    response = client.get(address)
    assert policy(response) == POLICY
    assert "unsafe" not in POLICY
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_static_files_say_so_too(client, transactional_db):
    """A picture that is opened by itself runs nothing either."""
    assert policy(client.get("/static/dashboard/favicon.svg")) == POLICY


@pytest.mark.parametrize("address", ["/api/", "/api/docs/", "/api/intval/"])
def test_styles_of_rest_pages(address, client, transactional_db):
    """Pages of other people have styles in them, but no scripts."""
    found = policy(client.get(address))
    assert found == f"{POLICY}; style-src 'self' 'unsafe-inline'"


def test_a_policy_of_ones_own_stays():
    """A view that says more is believed."""
    own = HttpResponse(headers={"Content-Security-Policy": "default-src 'none'"})
    response = ContentSecurityPolicy(lambda request: own)(RequestFactory().get("/"))
    assert policy(response) == "default-src 'none'"


def test_asynchronous_views():
    """It stands in a chain of asynchronous middleware as one of them."""

    async def view(request):
        return HttpResponse()

    response = asyncio.run(ContentSecurityPolicy(view)(AsyncRequestFactory().get("/")))
    assert policy(response) == POLICY


@pytest.mark.parametrize("status", [404, 500])
def test_pages_of_errors_for_developers(status):
    """Django's own pages of errors have scripts; with DEBUG on they work."""
    middleware = ContentSecurityPolicy(lambda request: HttpResponse(status=status))
    with override_settings(DEBUG=True):
        assert "Content-Security-Policy" not in middleware(RequestFactory().get("/"))
    assert policy(middleware(RequestFactory().get("/"))) == POLICY


def test_this_machine_needs_no_tls(client, transactional_db):
    """Without HTTPS in the environment a page is served as it is asked for."""
    assert client.get(reverse("dashboard")).status_code == 200
    assert not settings.SECURE_SSL_REDIRECT


def asked(server, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse()
    finally:
        connection.close()


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
def test_behind_a_proxy_that_ends_tls(kind, start_server):
    """Who comes without TLS is sent there, but for health; who comes by it is told to remember."""
    server = start_server(kind, HTTPS="on", HSTS_SUBDOMAINS="on", TRUSTED_PROXIES="1")
    plain = asked(server, "/accounts/login/")
    assert (plain.status, plain.headers["Location"]) == (
        301,
        f"https://127.0.0.1:{server.port}/accounts/login/",
    )
    assert asked(server, "/healthz").status == 200
    secure = asked(server, "/accounts/login/", **{"X-Forwarded-Proto": "https"})
    assert secure.status == 200
    assert secure.headers["Strict-Transport-Security"] == (
        "max-age=31536000; includeSubDomains; preload"
    )
    assert "Secure" in secure.headers["Set-Cookie"]
