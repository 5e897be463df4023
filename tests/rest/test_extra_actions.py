"""Custom actions of a binding's consumer, asked by REST."""

import asyncio

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import AsyncClient
from django.urls import include, path, reverse
from djangochannelsrestframework.decorators import action
from rest_framework.authtoken.models import Token
from rest_framework.exceptions import ValidationError

from databinding.rest import rest_urls
from databinding.throttling import ActionThrottle
from databinding.websockets import WebSocketDemultiplexer
from tests.shapes.bindings import AccountBinding, NamedBinding
from tests.shapes.models import Account, Named

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]


class AccountConsumer(AccountBinding.consumer):
    @action()
    def pay(self, pk, amount, **kwargs):
        """A synchronous one about a row, which raises what clients are told."""
        if amount < 0:
            raise ValidationError({"amount": ["Pay, don't take."]})
        with transaction.atomic():
            account = Account.objects.select_for_update().get(pk=pk)
            account.balance += amount
            account.save()
        return {"balance": account.balance, "by": self.scope["user"].get_username()}, 202

    @action(name="add-up")
    async def add_up(self, request_id, **kwargs):
        """An asynchronous one about all, which sends something besides."""
        await self.send_json({"on": "its way"})
        return [account.balance async for account in Account.objects.order_by("pk")], 200

    @action()
    def forget(self, **kwargs):
        """One that has no answer."""
        Account.objects.all().delete()

    @action(detached=True)
    async def wait(self, amount, **kwargs):
        """One that a websocket's other frames don't wait for."""
        await asyncio.sleep(0.01)
        if amount < 0:
            raise ValidationError({"amount": ["It goes on."]})
        return {"waited": amount}, 200

    @action()
    def fail(self, **kwargs):
        raise RuntimeError("a secret")


class NamedConsumer(NamedBinding.consumer):
    @action()
    def double(self, pk=None, **kwargs):
        return {"pk": pk}, 200


class Accounts(WebSocketDemultiplexer):
    consumers = {"account": AccountConsumer, "named": NamedConsumer}

    def connection_groups(self):
        return ["accounts", "named"]


urlpatterns = [path("api/", include(rest_urls(Accounts)))]


@pytest.fixture
def account(transactional_db):
    return Account.objects.create(balance=5)


@pytest.fixture
def client(client):
    """One that takes a fault of the server's for an answer, too."""
    client.raise_request_exception = False
    return client


def post(client, address, data=None, **headers):
    body = {} if data is None else data
    return client.post(f"/api/{address}", body, "application/json", headers=headers)


def test_an_action_about_a_row(client, account):
    """The address names the row, the body the other parameters; what is returned is answered."""
    token = Token.objects.create(user=User.objects.create(username="ana"))
    address = f"account/{account.pk}/pay/"
    answer = post(client, address, {"amount": 2}, authorization=f"Token {token}")
    assert (answer.status_code, answer.json()) == (202, {"balance": 7, "by": "ana"})
    assert reverse("rest-account-detail-pay", kwargs={"pk": account.pk}) == f"/api/{address}"
    form = client.post(f"/api/account/{account.pk}/pay/", {"amount": 2})
    assert form.status_code == 500  # A form's values are texts, and the action adds numbers.


def test_an_action_about_none(client, account):
    """What it sends besides is for nobody; what returns nothing is answered 204."""
    assert post(client, "account/add-up/").json() == [5]
    answer = post(client, "account/forget/")
    assert (answer.status_code, answer.content) == (204, b"")
    assert not Account.objects.exists()


def test_what_an_action_raises_is_answered(client, account, caplog):
    """Invalid, malformed and faulty: as REST has it everywhere."""
    address = f"account/{account.pk}/pay/"
    for data, status, said in (
        ({"amount": -1}, 400, {"amount": ["Pay, don't take."]}),
        ({}, 400, {"detail": "These aren't the action's parameters."}),
        ({"amount": 1, "request_id": 1}, 400, {"request_id": ["This is no parameter."]}),
        ({"amount": 1, "pk": 1}, 400, {"pk": ["This is no parameter."]}),
        ([], 400, {"detail": "This must be an object."}),
    ):
        answer = post(client, address, data)
        assert (answer.status_code, answer.json()) == (status, said)
    assert post(client, "account/nonsense/pay/", {"amount": 1}).status_code == 404
    answer = post(client, "account/fail/")
    assert (answer.status_code, answer.json()) == (
        500,
        {"detail": "Something went wrong on the server."},
    )
    assert "act failed" in caplog.text
    assert post(client, "account/dance/").status_code == 405
    assert client.get("/api/account/add-up/").status_code == 404


def test_rows_that_are_called_like_actions(client):
    """By other methods the address of an action is that of a row with such a key."""
    for code in ("double", "a/double"):
        Named.objects.create(code=code)
        assert client.get(f"/api/named/{code}/").json()["pk"] == code
        changed = client.patch(f"/api/named/{code}/", {"value": 3}, "application/json")
        assert changed.json()["value"] == 3
    assert post(client, "named/double/").json() == {"pk": None}
    assert post(client, "named/a/double/").json() == {"pk": "a"}
    assert client.delete("/api/named/double/").status_code == 204


def test_actions_count_once(client, account, monkeypatch):
    """A throttle that counts the action counts each request once."""

    class Paying(ActionThrottle):
        actions, rate = ("pay",), "2/hour"

    monkeypatch.setattr(AccountBinding, "throttle_classes", [Paying])
    answers = [post(client, f"account/{account.pk}/pay/", {"amount": 1}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert int(answers[2]["Retry-After"]) > 0


def test_one_that_is_detached_is_waited_for(client):
    """The answer is what it returns or raises at its end."""
    assert post(client, "account/wait/", {"amount": 1}).json() == {"waited": 1}
    answer = post(client, "account/wait/", {"amount": -1})
    assert (answer.status_code, answer.json()) == (400, {"amount": ["It goes on."]})


async def test_under_asgi(account):
    """It works where views run in threads beside an event loop."""
    answer = await AsyncClient().post(
        f"/api/account/{account.pk}/pay/", {"amount": 1}, content_type="application/json"
    )
    assert answer.status_code == 202


def test_actions_are_described(client):
    """The OpenAPI document has them, beside the five, with bodies of their own."""
    document = client.get("/api/schema/", headers={"accept": "application/json"}).json()
    pay = document["paths"]["/api/account/{pk}/pay/"]["post"]
    assert pay["operationId"] == "account_pay_row"
    assert {one["name"] for one in pay["parameters"]} == {"pk"}
    assert {"200", "204", "400", "401", "403", "404", "409", "503"} <= pay["responses"].keys()
    assert "412" not in pay["responses"]
    assert "/api/account/add-up/" in document["paths"]
    assert document["paths"]["/api/account/{pk}/"].keys() == {"get", "put", "patch", "delete"}
