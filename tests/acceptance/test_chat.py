"""People talk, in browsers, by a real server."""

import asyncio
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.utils import timezone
from playwright.async_api import expect

from chat.models import Message, Presence, Room
from tests import tls
from tests.acceptance.dashboard import standing, tab_to, until
from tests.acceptance.looks import OPTIONS, looked_at
from tests.servers import PATIENCE

expect.set_options(timeout=PATIENCE * 1000)

TEXTS = "() => [...document.querySelectorAll('.message .text')].map((text) => text.textContent)"
PEOPLE = "() => [...document.querySelectorAll('#people li')].map((one) => one.textContent)"


async def enter(open_page, server, name, label="lobby", **options):
    """Open a room as somebody of this name."""
    page = await open_page(f"{server.url}/chat/{label}/", **options)
    await standing(page, "live")
    await page.fill("#handle", name)
    await page.press("#handle", "Enter")
    await expect(page.locator("#message")).to_be_focused()
    await people(page, name, others=True)
    return page


async def say(page, text):
    await page.fill("#message", text)
    await page.press("#message", "Enter")


async def hurry(page, count):
    """Write so many messages at once: what a minute allows is told, however busy the machine is."""
    await page.evaluate(
        """(count) => {
          const message = document.querySelector("#message");
          for (let number = 0; number < count; number++) {
            message.value = String(number);
            message.form.requestSubmit();
          }
        }""",
        count,
    )


async def texts(page, *expected):
    """Wait until these are the messages on the page."""
    await equal(page, TEXTS, list(expected))


async def people(page, *names, others=False):
    """Wait until these are here (and others may be)."""

    async def they_are():
        shown = await page.evaluate(PEOPLE)
        return set(names) <= set(shown) if others else shown == list(names)

    await until(they_are)


async def equal(page, expression, expected):
    async def it_is():
        return await page.evaluate(expression) == expected

    try:
        await until(it_is)
    except AssertionError:
        assert await page.evaluate(expression) == expected


@sync_to_async
def written(label, count, first=0):
    """Messages of a room from long ago."""
    room = Room.objects.visit(label)
    for number in range(first, first + count):
        Message.objects.create(room=room, handle="Eve", message=f"message {number}")


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_two_people_talk_and_a_killed_server_comes_between(kind, start_server, open_page):
    """What is written while the server is gone waits, and is there once when it is back."""
    server = await asyncio.to_thread(start_server, kind)
    ada, bob = [await enter(open_page, server, name) for name in ("Ada", "Bob")]
    await say(ada, "Hello, Bob!")
    await texts(bob, "Hello, Bob!")
    await say(bob, "Hello, Ada!\nHow are you?")
    for page in (ada, bob):
        await texts(page, "Hello, Bob!", "Hello, Ada!\nHow are you?")
        await people(page, "Ada", "Bob")
    await expect(ada.locator(".message.own .text")).to_have_text("Hello, Bob!")

    server.kill()
    await standing(ada, "reconnecting", "offline")
    await expect(ada.locator("#banner")).to_contain_text("comes when it is back")
    await say(ada, "Are you there?")
    waiting = ada.locator(".message[data-state=waiting]")
    await expect(waiting).to_contain_text("Waiting for the connection")
    await expect(waiting.locator(".text")).to_have_text("Are you there?")
    await asyncio.to_thread(server.start)
    for page in (ada, bob):
        await standing(page, "live")
        await texts(page, "Hello, Bob!", "Hello, Ada!\nHow are you?", "Are you there?")
        await people(page, "Ada", "Bob")
    await expect(waiting).to_have_count(0)
    assert await Message.objects.acount() == 3
    assert await Presence.objects.acount() == 2


async def test_who_is_here_comes_and_goes(start_server, open_page):
    """Two tabs of one person count once and end one by one; a lease that is over ends by itself."""
    server = await asyncio.to_thread(start_server)
    ada = await enter(open_page, server, "Ada")
    await people(ada, "Ada")
    bob = await enter(open_page, server, "Bob")
    second = await enter(open_page, server, "Bob")

    async def three():
        return await Presence.objects.acount() == 3

    async def two():
        return await Presence.objects.acount() == 2

    await until(three)
    await people(ada, "Ada", "Bob")
    await bob.close(run_before_unload=False)
    await until(two)
    await people(ada, "Ada", "Bob")
    await second.goto(f"{server.url}/chat/")
    await people(ada, "Ada")

    room = await Room.objects.aget(label="lobby")
    later = {"expires_at": timezone.now() + timedelta(hours=1)}
    key = "00000000-0000-4000-8000-000000000000"
    await Presence.objects.acreate(room=room, handle="Ghost", key=key, **later)
    await people(ada, "Ada", "Ghost")
    await Presence.objects.filter(key=key).aupdate(expires_at=timezone.now())
    await people(ada, "Ada")

    await ada.fill("#handle", "Countess")
    await ada.press("#handle", "Enter")
    await people(ada, "Countess")


async def test_older_messages_come_as_one_scrolls_up(start_server, open_page):
    """What is read stays in its place while older ones come above it and new ones below."""
    await written("lobby", 130)
    server = await asyncio.to_thread(start_server)
    page = await open_page(f"{server.url}/chat/lobby/")
    await standing(page, "live")
    await texts(page, *(f"message {number}" for number in range(80, 130)))
    scroller, news = page.locator("#scroller"), page.locator("#news")
    await expect(page.locator(".message").last).to_be_in_viewport(ratio=1)
    await expect(page.locator("#beginning")).to_be_hidden()

    place = """() => document.querySelector('#scroller').getBoundingClientRect().top
      - [...document.querySelectorAll('.message')].find((one) =>
        one.textContent.includes('message 85')).getBoundingClientRect().top"""
    await scroller.evaluate("(it) => it.scrollTop = 200")
    before = await page.evaluate(place)
    await texts(page, *(f"message {number}" for number in range(30, 130)))
    assert abs(await page.evaluate(place) - before) < 2

    await written("lobby", 2, first=130)
    await expect(news).to_have_text("↓ 2 new messages")
    assert abs(await page.evaluate(place) - before) < 2
    await news.click()
    await expect(news).to_be_hidden()
    await expect(page.locator(".message").last).to_be_in_viewport()
    await written("lobby", 1, first=132)
    await expect(page.locator(".message").last).to_contain_text("message 132")
    await expect(page.locator(".message").last).to_be_in_viewport()


async def test_what_is_written_is_text(start_server, open_page):
    """Markup stays text, in messages and names; addresses become links that lead nowhere else."""
    server = await asyncio.to_thread(start_server)
    name, text = "<img src=x onerror=alert(1)>", "<b>bold</b> javascript:alert(1) https://a.org/x."
    ada, bob = await enter(open_page, server, "Ada"), await enter(open_page, server, name)
    await say(bob, text)
    await texts(ada, text)
    await people(ada, name, "Ada")
    assert await ada.locator(".message :is(img, b:not(.handle)), #people img").count() == 0
    link = ada.locator(".message .text a")
    await expect(link).to_have_count(1)
    await expect(link).to_have_attribute("href", "https://a.org/x")
    assert {"noopener", "nofollow"} <= set((await link.get_attribute("rel")).split())
    await ada.reload()
    await texts(ada, text)


async def test_what_can_not_be_sent_says_why(start_server, open_page):
    """Nothing, too much and no name are said at once; what the server refuses can be retried."""
    server = await asyncio.to_thread(start_server)
    page = await open_page(f"{server.url}/chat/lobby/")
    await standing(page, "live")
    problem = page.locator("#problem")
    await page.click("text=Send")
    await expect(problem).to_have_text("Write something first.")
    await say(page, "x" * 2001)
    await expect(problem).to_have_text("Too long: 2001 of at most 2000 characters.")
    await expect(page.locator("#length")).to_have_text("2001 of 2000 characters")
    await say(page, "x")
    await expect(problem).to_have_text("Say who you are first.")
    await expect(page.locator("#handle")).to_be_focused()
    await page.keyboard.type("Ada")
    await expect(problem).to_be_empty()

    await hurry(page, 31)
    refused = page.locator(".message[data-state=failed]")
    await expect(refused).to_contain_text("You write faster than others can read. Try again in")
    await expect(page.locator(".message[data-state=sent]")).to_have_count(30)
    await refused.get_by_role("button", name="Discard").click()
    await expect(refused).to_have_count(0)
    assert await Message.objects.acount() == 30


async def test_who_is_logged_out_reads_no_further(start_server, open_page):
    """Neither messages nor people are left; what he wrote and wasn't sent is, and says so."""
    server = await asyncio.to_thread(start_server)
    ana = await sync_to_async(User.objects.create_user)("ana")
    page = await enter(open_page, server, "Ana", user=ana)
    await say(page, "Hello!")
    await texts(page, "Hello!")
    await Session.objects.all().adelete()
    await standing(page, "logged out")
    await texts(page)
    await people(page)
    await expect(page.locator("#banner")).to_contain_text("Reload the page to go on.")
    await say(page, "Anybody?")
    failed = page.locator(".message[data-state=failed]")
    await expect(failed).to_contain_text("The connection is closed; nothing was sent.")
    await page.get_by_role("button", name="Reload").click()
    await standing(page, "live")
    await texts(page, "Hello!")


async def test_a_conversation_by_keyboard(start_server, open_page):
    """Somebody without a mouse enters a room, writes two lines, and is known the next time."""
    server = await asyncio.to_thread(start_server)
    page = await open_page(f"{server.url}/chat/")
    await tab_to(page, page.get_by_role("link", name="New room"))
    await page.keyboard.press("Enter")
    await standing(page, "live")
    await tab_to(page, page.get_by_label("Your name"))
    await page.keyboard.type("Ada")
    await tab_to(page, page.get_by_label("Message", exact=True))
    await page.keyboard.type("one")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("two")
    await page.keyboard.press("Enter")
    await texts(page, "one\ntwo")
    await expect(page.get_by_role("log")).to_contain_text("Ada")
    await page.reload()
    await standing(page, "live")
    await expect(page.get_by_label("Your name")).to_have_value("Ada")
    await people(page, "Ada")


async def test_the_admins_hand_is_seen_at_once(start_server, open_page, admin_user):
    """A message that is edited or deleted in the admin is so on a page that is open."""
    server = await asyncio.to_thread(start_server)
    page = await enter(open_page, server, "Ada")
    await say(page, "Damn!")
    await expect(page.locator(".message[data-state=sent] .text")).to_have_text("Damn!")
    message = await Message.objects.aget()
    form = f"{server.url}/admin/chat/message/{message.pk}/"
    admin = await open_page(f"{form}change/", user=admin_user)
    await admin.fill("#id_message", "Oh!")
    await admin.click("[name=_save]")
    await texts(page, "Oh!")
    await expect(admin.locator(".messagelist")).to_contain_text("was changed successfully")
    await admin.goto(f"{form}delete/")
    await admin.click("#content [type=submit]")
    await texts(page)
    await expect(page.locator("#beginning")).to_have_text("Nobody has written yet.")


async def test_rooms_are_for_everybody(start_server, open_page):
    """axe finds nothing wrong with the list of rooms, empty and not, on a desktop and a phone."""
    server = await asyncio.to_thread(start_server)
    page = await open_page(f"{server.url}/chat/", **OPTIONS)
    await expect(page.locator(".hint")).to_contain_text("be the first")
    await looked_at(page, "chat-no-rooms")
    await written("lobby", 1)
    await page.reload()
    await expect(page.locator(".rooms a")).to_have_count(1)
    await looked_at(page, "chat-rooms")


async def test_a_room_is_for_everybody(start_server, open_page):
    """Nor with a room: before anybody has written, in a conversation, with an error, while what is
    written waits for the server, and when it was refused."""
    server = await asyncio.to_thread(start_server)
    page = await open_page(f"{server.url}/chat/lobby/", **OPTIONS)
    await standing(page, "live")
    await expect(page.locator("#beginning")).to_have_text("Nobody has written yet.")
    await looked_at(page, "chat-empty")
    await page.click("text=Send")
    await expect(page.locator("#problem")).to_have_text("Write something first.")
    await looked_at(page, "chat-problem")
    await page.fill("#handle", "Ada")
    await written("lobby", 60)
    await say(page, "Is anybody here?")
    sent = page.locator(".message[data-state=sent]")
    await expect(sent.last).to_contain_text("Is anybody here?")
    await looked_at(page, "chat-conversation")
    await asyncio.to_thread(server.kill)
    await say(page, "And now?")
    await expect(page.locator("#banner")).to_be_visible()
    await expect(page.locator(".message[data-state=waiting]")).to_have_count(1)
    await looked_at(page, "chat-offline")
    await asyncio.to_thread(server.start)
    await standing(page, "live")
    await expect(sent.last).to_contain_text("And now?")
    await hurry(page, 35)  # some more than a minute's
    await expect(page.locator(".message[data-state=failed]").first).to_be_visible()
    await looked_at(page, "chat-refused")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1100])
async def test_it_fits(start_server, open_page, scheme, width):
    """On phones and desks nothing is cut off, and only the messages scroll."""
    await written("lobby", 20)
    await sync_to_async(Room.objects.filter(label="lobby").update)(
        name="A room of a long name " * 3
    )
    server = await asyncio.to_thread(start_server)
    options = {"viewport": {"width": width, "height": 640}, "color_scheme": scheme}
    page = await enter(open_page, server, "Ada", **options)
    await say(page, "w" * 300)
    await expect(page.locator(".message").last).to_be_in_viewport()
    sizes = "() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    assert await page.evaluate(sizes) == [width, 640]
    for button in ("Send", "Rooms"):
        await expect(page.get_by_text(button, exact=True)).to_be_in_viewport(ratio=1)
    await page.goto(f"{server.url}/chat/")
    assert (await page.evaluate(sizes))[0] == width


async def test_it_works_behind_a_proxy_with_tls(start_server, open_page, tmp_path):
    """A page that came by https talks by wss."""
    server = await asyncio.to_thread(start_server)
    async with tls.proxy(server.port, tmp_path) as port:
        sockets = []

        async def prepare(page):
            page.on("websocket", lambda socket: sockets.append(socket.url))

        url = f"https://127.0.0.1:{port}/chat/lobby/"
        page = await open_page(url, prepare=prepare, ignore_https_errors=True)
        await standing(page, "live")
        await page.fill("#handle", "Ada")
        await say(page, "Hello!")
        await expect(page.locator(".message[data-state=sent] .text")).to_have_text("Hello!")
        assert sockets == [f"wss://127.0.0.1:{port}/chat/lobby/"]
        await page.close()
