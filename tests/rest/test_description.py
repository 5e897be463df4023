"""Every operation answers what its description says, also what schemathesis seldom meets."""

import json

import jsonschema
import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.urls import include, path
from djangochannelsrestframework.decorators import action
from rest_framework.exceptions import Throttled
from rest_framework.permissions import AllowAny

from databinding.rest import rest_urls
from tests.databinding.clients import named
from tests.databinding.conftest import registry_as_it_was  # noqa: F401
from tests.shapes.bindings import NamedBinding, PaperBinding
from tests.shapes.models import Paper
from values.models import BooleanValue, FloatValue, IntegerValue, TextValue
from values.throttles import Asking

pytestmark = pytest.mark.django_db(transaction=True)

VALUES = {
    "intval": IntegerValue,
    "intlimits": IntegerValue,
    "floatval": FloatValue,
    "boolval": BooleanValue,
    "textval": TextValue,
}
#: What no moment is, on each database.
NEVER = {"sqlite": "2026-13-45 00:00:00", "postgresql": "infinity"}
METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture
def staff(client):
    user = User.objects.create(username="ana", is_staff=True, is_superuser=True)
    client.force_login(user)
    return user


def operations(client, address):
    """Each address and method of a description, with how it is answered; streams are others."""
    document = client.get(address, headers={"accept": "application/json"}).json()
    for place, methods in document["paths"].items():
        for method in METHODS:
            if method in methods and not place.endswith("/events"):
                yield document, place, method, methods[method]


def asked(client, document, address, method, operation, body=None):
    """The status of an answer, which is one that is described, and says what is described."""
    answer = client.generic(
        method.upper(), address, json.dumps(body or {}), content_type="application/json"
    )
    told = f"{method} {address}: {answer.status_code} {answer.content[:200]}"
    described = operation["responses"]
    assert str(answer.status_code) in described, told
    content = described[str(answer.status_code)].get("content")
    if answer.status_code >= 400:
        schema = {**content["application/json"]["schema"], "components": document["components"]}
        jsonschema.validate(answer.json(), schema)
    return answer.status_code


def spoil(model):
    row = model.objects.create(name=f"spoilt {model.objects.count()}")
    never = [NEVER[connection.vendor], row.pk]
    with connection.cursor() as cursor:
        table = model._meta.db_table
        cursor.execute(f"UPDATE {table} SET reported_at = %s WHERE id = %s", never)
    return row.pk


def test_rows_that_cannot_be_read(client, staff):
    """Whatever is asked of one, its past included, is answered as described."""
    found = {}
    for document, place, method, operation in operations(client, "/api/schema/"):
        for stream, model in VALUES.items():
            if "{stream}" not in place and f"/{stream}/" not in place:
                continue
            if "{stream}" in place and stream == "intlimits":
                continue
            address = place.format(stream=stream, pk=spoil(model))
            found[method, address.rpartition("/api/")[2]] = asked(
                client, document, address, method, operation, {"name": "other"}
            )
    about = [status for (_, place), status in found.items() if place.count("/") == 2]
    assert about.count(422) == 3 * len(VALUES)
    assert (about.count(204), about.count(403)) == (len(VALUES) - 1, 1)  # limits are read only
    assert {status for (_, place), status in found.items() if "history" in place} == {200, 400}


def test_who_asks_too_often(client, staff, monkeypatch):
    """Every operation says so, also those about the past."""
    monkeypatch.setattr(Asking, "rate", "1/hour", raising=False)
    cache.clear()
    client.get("/api/intval/")
    for document, place, method, operation in operations(client, "/api/schema/"):
        address = place.format(stream="intval", pk=1)
        assert asked(client, document, address, method, operation) == 429


class PaperConsumer(PaperBinding.consumer):
    @action()
    def stamp(self, pk, **kwargs):
        return {"stamped": pk}, 200


def serve(settings, demultiplexer):
    urls = [path("own/", include(rest_urls(demultiplexer)))]
    settings.ROOT_URLCONF = type("urls", (), {"urlpatterns": urls})


def test_custom_actions_on_rows_that_cannot_be_read(client, settings, monkeypatch):
    """Where somebody has to be asked about the row, that it can't be is described."""
    monkeypatch.setattr(PaperBinding, "permission_classes", [AllowAny])
    serve(settings, named({"paper": PaperConsumer}, ["papers"]))
    paper = Paper.objects.create(amount=1)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE shapes_paper SET day = %s", [NEVER[connection.vendor][:10]])
    found = {
        place.rpartition("/own/")[2]: asked(
            client, document, place.format(pk=paper.pk), method, operation
        )
        for document, place, method, operation in operations(client, "/own/schema/")
        if method == "post"
    }
    assert found["paper/{pk}/stamp/"] == 422


def test_groups_that_are_asked_for_too_often(client, settings):
    """What `connection_groups` refuses so is described of every stream."""
    demultiplexer = named({"named": NamedBinding.consumer}, ["all"])

    def connection_groups(self):
        raise Throttled(5)

    demultiplexer.connection_groups = connection_groups
    serve(settings, demultiplexer)
    for document, place, method, operation in operations(client, "/own/schema/"):
        assert asked(client, document, place.format(pk="a"), method, operation) == 429
