"""Who is writing, as whatever wants to know is told."""

import asyncio

from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpResponse

from databinding.acting import ActingUserMiddleware, acting, acting_user


def test_nobody_acts_by_default():
    """A program is nobody, and so is a visitor."""
    assert acting_user() is None
    with acting(AnonymousUser()):
        assert acting_user() is None


def test_the_innermost_acts():
    """Who acts on behalf of somebody else is that one, for as long."""
    ana, ben = User(username="ana"), User(username="ben")
    with acting(ana):
        with acting(ben):
            assert acting_user() is ben
        assert acting_user() is ana
    assert acting_user() is None


async def test_it_follows_the_call_and_no_other():
    """Threads that a task waits for know its user, other tasks theirs."""

    async def ask(name):
        with acting(User(username=name)):
            await asyncio.sleep(0)
            return (await sync_to_async(acting_user)()).username

    assert await asyncio.gather(ask("ana"), ask("ben")) == ["ana", "ben"]
    assert await sync_to_async(acting_user)() is None


def test_a_request_is_its_users(rf):
    """Who that is may turn out only while the request is answered."""

    def view(request):
        assert acting_user() is None
        request.user = User(username="ana")
        return HttpResponse(acting_user().username)

    assert ActingUserMiddleware(view)(rf.get("/")).content == b"ana"
    assert acting_user() is None
