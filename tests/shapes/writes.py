"""Random writes to the models of shapes: each takes a `random.Random` and does what that says.

reset()                         # where every program of writes begins
for write in WRITES: ...        # quick ones; SLOW leave transactions open for a while
"""

import time

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat
from rest_framework.authtoken.models import Token

from databinding.testing import constant_sum, never_shrinks
from tests.databinding.programs import shell_program

from .models import Account, Base, Child, Entry, Message, Named, Note, Room, Slot, Tag

ROOMS = (1, 2, 3)
TAGS = (1, 2, 3)
ACCOUNTS = 6
#: Names of users; each has a token that is his name over and over.
USERS = ("ana", "bo", "cy")
TEAMS = ("red", "blue")

#: What holds in every state of stream `account`.
ACCOUNT_INVARIANTS = [constant_sum("balance", 0), never_shrinks("changes")]


def only_what_is_theirs(before, after, groups):
    """Stream `message`: nobody is shown what is hidden, or in a room that isn't theirs."""
    for pk, row in after.items():
        if row["hidden"] or f"room-{row['room']}" not in groups:
            return f"Message {pk} isn't for {sorted(groups)}: {row}."
    return None


def reset():
    for model in (Entry, Message, Room, Tag, Account, Named, Base, Slot, Note, Token):
        model.objects.all().delete()
    User.objects.filter(username__in=USERS).delete()
    Room.objects.bulk_create(Room(pk=pk, name=str(pk)) for pk in ROOMS)
    Tag.objects.bulk_create(Tag(pk=pk, name=str(pk)) for pk in TAGS)
    Message.objects.bulk_create(Message(room_id=pk, text="first") for pk in ROOMS)
    Account.objects.bulk_create(Account() for _ in range(ACCOUNTS))
    Named.objects.bulk_create(Named(code=f"n{number}") for number in range(5))
    Slot.objects.bulk_create(Slot(number=number) for number in range(5))
    for number in range(3):
        Child.objects.create(title="first", number=number)
    for name in USERS:
        user = User.objects.create(username=name, last_name=TEAMS[0])
        Token.objects.create(user=user, key=token(name))
        Note.objects.create(owner=user, text="first", secret="first")


def token(name):
    return (name * 40)[:40]


def user_named(name):
    return User.objects.get(username=name)


class Undo(Exception):
    pass


def some(model, chance):
    """One of the rows, or None."""
    keys = list(model.objects.order_by("pk").values_list("pk", flat=True)[:12])
    return model.objects.filter(pk=chance.choice(keys)).first() if keys else None


# Messages: rows whose groups depend on them


def create(chance):
    Message.objects.create(room_id=chance.choice(ROOMS), text=str(chance.randrange(9)))


def save(chance):
    if message := some(Message, chance):
        message.text = str(chance.randrange(9))
        message.save()


def move(chance):
    if message := some(Message, chance):
        Message.objects.filter(pk=message.pk).update(room=chance.choice(ROOMS))


def hide(chance):
    if message := some(Message, chance):
        Message.objects.filter(pk=message.pk).update(hidden=chance.random() < 0.5)


def delete(chance):
    if message := some(Message, chance):
        message.delete()


def reinsert(chance):
    """The same key goes and comes again, in one transaction or two."""
    if message := some(Message, chance):
        at_once = chance.random() < 0.5
        with transaction.atomic():
            Message.objects.filter(pk=message.pk).delete()
            if at_once:
                message.save(force_insert=True)
        if not at_once:
            message.save(force_insert=True)


def all_change(chance):
    Message.objects.filter(text__lt="x" * 60).update(text=Concat(F("text"), Value(".")))


def all_move(chance):
    Message.objects.update(room=chance.choice(ROOMS))


def thin_out(chance):
    keys = list(Message.objects.order_by("pk").values_list("pk", flat=True))
    if len(keys) > 5:
        Message.objects.filter(pk__in=chance.sample(keys, len(keys) - 4)).delete()


def bulk(chance):
    Message.objects.bulk_create(
        Message(room_id=chance.choice(ROOMS), text="b") for _ in range(chance.randrange(5))
    )


def bulk_update(chance):
    messages = list(Message.objects.order_by("pk")[: chance.randrange(1, 5)])
    for message in messages:
        message.text = str(chance.randrange(9))
    Message.objects.bulk_update(messages, ["text"])


def raw(chance):
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE shapes_message SET text = %s WHERE id %% 2 = %s",
            [f"raw {chance.randrange(9)}", chance.randrange(2)],
        )


def truncate(chance):
    """Without a word about rows where there is a TRUNCATE."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("TRUNCATE shapes_message CASCADE")
        else:
            cursor.execute("DELETE FROM shapes_message_tags")
            cursor.execute("DELETE FROM shapes_message")


def tag(chance):
    if message := some(Message, chance):
        message.tags.set(chance.sample(TAGS, chance.randrange(3)))


def untag(chance):
    if message := some(Message, chance):
        message.tags.clear()


def tag_from_there(chance):
    if (found := some(Tag, chance)) and (message := some(Message, chance)):
        found.message_set.add(message)


def untag_from_there(chance):
    if found := some(Tag, chance):
        found.message_set.clear()


def clear_tag(chance):
    """A cascade over the table in between."""
    with transaction.atomic():
        pk = chance.choice(TAGS)
        Tag.objects.filter(pk=pk).delete()
        Tag.objects.create(pk=pk, name="again")


def clear_room(chance):
    """A cascade over rows."""
    with transaction.atomic():
        pk = chance.choice(ROOMS)
        Room.objects.filter(pk=pk).delete()
        Room.objects.create(pk=pk, name="again")


def rolled_back(chance):
    try:
        with transaction.atomic():
            Message.objects.update(text="never")
            create(chance)
            raise Undo
    except Undo:
        pass


def half_rolled_back(chance):
    with transaction.atomic():
        create(chance)
        rolled_back(chance)


# Named: keys that change


def named_come(chance):
    value = chance.randrange(9)
    Named.objects.bulk_create(
        [Named(code=f"n{number}", value=value) for number in range(chance.randrange(6))],
        ignore_conflicts=True,
    )


def named_change(chance):
    lowest = f"n{chance.randrange(5)}"
    Named.objects.filter(code__gte=lowest, code__lt="o").update(value=chance.randrange(9))


def named_renamed(chance):
    old, new = chance.sample([f"n{number}" for number in range(5)], 2)
    with transaction.atomic():
        Named.objects.filter(code=new).delete()
        Named.objects.filter(code=old).update(code=new)


def named_go(chance):
    Named.objects.filter(code=f"n{chance.randrange(5)}").delete()


def count(writer, number):
    """A writer's stamp: a row of its own, whose value only grows."""
    Named.objects.update_or_create(code=f"w{writer}", defaults={"value": number})
    return f"w{writer}"


# Accounts: rows that change together


def pay(pk, amount):
    """Change a balance; whoever's account is gone has the whole transaction undone."""
    changed = {"balance": F("balance") + amount, "changes": F("changes") + 1}
    if not Account.objects.filter(pk=pk).update(**changed):
        raise Undo


def two_accounts(chance):
    keys = list(Account.objects.order_by("pk").values_list("pk", flat=True))
    return sorted(chance.sample(keys, 2)) if len(keys) > 1 else (0, 0)


def transfer(chance):
    one, other = two_accounts(chance)
    amount = chance.randint(-9, 9)
    try:
        with transaction.atomic():
            pay(one, amount)
            pay(other, -amount)
    except Undo:
        pass


def transfer_by_saving(chance):
    keys = two_accounts(chance)
    amount = chance.randint(-9, 9)
    with transaction.atomic():
        accounts = list(Account.objects.select_for_update().filter(pk__in=keys).order_by("pk"))
        if len(accounts) == 2:
            for account, change in zip(accounts, (amount, -amount), strict=True):
                account.balance += change
                account.changes += 1
                account.save()


def close_account(chance):
    """Its balance goes to another one, or to a new one."""
    one, other = two_accounts(chance)
    with transaction.atomic():
        closed = Account.objects.select_for_update().filter(pk=one).first()
        if closed and one != other:
            balance = closed.balance
            closed.delete()
            if not Account.objects.filter(pk=other).update(
                balance=F("balance") + balance, changes=F("changes") + 1
            ):
                Account.objects.create(balance=balance)
            while Account.objects.count() < ACCOUNTS:
                Account.objects.create()


# Rooms and tags: rows that others show


def rename_room(chance):
    if room := some(Room, chance):
        room.name = str(chance.randrange(9))
        room.save()


def rename_rooms(chance):
    """By a predicate that others' writes make true and false meanwhile."""
    Room.objects.filter(name__lte=str(chance.randrange(9))).update(name=str(chance.randrange(9)))


def rename_tag(chance):
    Tag.objects.filter(pk=chance.choice(TAGS)).update(name=str(chance.randrange(9)))


def move_some(chance):
    """By a predicate over another table."""
    name, text = (str(chance.randrange(9)) for _ in range(2))
    Message.objects.filter(room__name__gte=name, text__lt=text).update(room=chance.choice(ROOMS))


def delete_some(chance):
    Message.objects.filter(tags=chance.choice(TAGS), text__gt=str(chance.randrange(9))).delete()


def tag_some(chance):
    """Rows of the table in between, by what they and others are just then."""
    through = Message.tags.through
    messages = Message.objects.filter(text__lt=str(chance.randrange(9))).values_list("pk")[:3]
    tag = chance.choice(TAGS)
    through.objects.bulk_create(
        [through(message_id=pk, tag_id=tag) for (pk,) in messages], ignore_conflicts=True
    )


def untag_some(chance):
    Message.tags.through.objects.filter(tag=chance.choice(TAGS)).delete()


def tag_others(chance):
    """Tags go from one message to another, as rows of the table in between."""
    if message := some(Message, chance):
        through = Message.tags.through.objects
        taken = through.filter(message=message).values("tag")
        through.exclude(tag__in=taken).filter(tag=chance.choice(TAGS)).update(message=message)


#: What other programs do by themselves.
STATEMENTS = [
    "UPDATE shapes_message SET text = text || '!' WHERE room_id = {room} AND length(text) < 60",
    "UPDATE shapes_message SET room_id = {room} WHERE id % 3 = {number} % 3",
    "DELETE FROM shapes_message_tags WHERE tag_id = {tag}",
    "UPDATE shapes_room SET name = '{number}' WHERE id <= {room}",
    "UPDATE shapes_tag SET name = '{number}' WHERE name <> '{room}'",
    "UPDATE shapes_base SET title = 'by itself {number}' WHERE id % 2 = {number} % 2",
    "UPDATE shapes_slot SET name = '{number}' WHERE number >= {number}",
    "INSERT INTO shapes_message (room_id, text, hidden) "
    "SELECT room_id, '{number}', hidden FROM shapes_message WHERE text < '{room}' LIMIT 2",
]


def by_shell(chance):
    """A program that knows nothing of us: the database's own shell."""
    values = {"room": chance.choice(ROOMS), "tag": chance.choice(TAGS)}
    statements = chance.sample(STATEMENTS, 2)
    shell_program(*(one.format(**values, number=chance.randrange(9)) for one in statements))


# Children and their parents


def child_come(chance):
    Child.objects.create(title=str(chance.randrange(9)), number=chance.randrange(9))


def child_change(chance):
    if child := some(Child, chance):
        child.title, child.number = str(chance.randrange(9)), chance.randrange(9)
        child.save()


def parent_change(chance):
    if parent := some(Base, chance):
        parent.title = str(chance.randrange(9))
        parent.save()


def children_change(chance):
    """Of both tables, by a predicate over both."""
    text = str(chance.randrange(9))
    Child.objects.filter(title__lt=text).update(title=text, number=F("number") + 1)


def child_go(chance):
    if child := some(Child, chance):
        child.delete(keep_parents=chance.random() < 0.5)


def parents_go(chance):
    if Base.objects.count() > 6:
        Base.objects.filter(title__lte=str(chance.randrange(9))).delete()


# Slots: rows that displace others


def slot_take(chance):
    """A row of another key takes a number, from whoever has it."""
    number, name = chance.randrange(6), str(chance.randrange(9))
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            replace = "REPLACE INTO shapes_slot (number, name) VALUES (%s, %s)"
            cursor.execute(replace, [number, name])
        else:
            Slot.objects.filter(number=number).delete()
            Slot.objects.create(number=number, name=name)


def slot_move(chance):
    """A row takes the number of another."""
    if slot := some(Slot, chance):
        number = chance.randrange(6)
        with transaction.atomic(), connection.cursor() as cursor:
            how = "UPDATE OR REPLACE" if connection.vendor == "sqlite" else "UPDATE"
            if connection.vendor != "sqlite":
                Slot.objects.filter(number=number).exclude(pk=slot.pk).delete()
            change = f"{how} shapes_slot SET number = %s WHERE id = %s"
            cursor.execute(change, [number, slot.pk])


def slots_come(chance):
    """New rows and old ones, whose names change."""
    slots = [Slot(number=number, name=str(chance.randrange(9))) for number in range(6)]
    Slot.objects.bulk_create(
        chance.sample(slots, 3),
        update_conflicts=True,
        update_fields=["name"],
        unique_fields=["number"],
    )


# Entries: rows in partitions, of which the database itself takes care


PLACES = (0, 1, 2)


def _entry(chance):
    room, tag = chance.choice(ROOMS), chance.choice([None, *TAGS])
    text = str(chance.randrange(9))
    return Entry(place=chance.choice(PLACES), text=text, room_id=room, tag_id=tag)


def entry_come(chance):
    _entry(chance).save()


def entries_come(chance):
    Entry.objects.bulk_create(_entry(chance) for _ in range(chance.randrange(4)))


def entry_changes(chance):
    if entry := some(Entry, chance):
        entry.text, entry.tag_id = str(chance.randrange(9)), chance.choice(TAGS)
        entry.save()


def entries_move(chance):
    """From one partition to another, by a predicate."""
    text = str(chance.randrange(9))
    Entry.objects.filter(text__lt=text).update(place=chance.choice(PLACES))


def entries_go(chance):
    Entry.objects.filter(text=str(chance.randrange(9))).delete()


def change_part(chance):
    """A partition itself, where there are any."""
    place, text = chance.choice(PLACES), str(chance.randrange(9))
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"UPDATE shapes_entry_{place} SET text = %s", [text])
        else:
            cursor.execute("UPDATE shapes_entry SET text = %s WHERE place = %s", [text, place])


def truncate_part(chance):
    """Or one of a partition's own."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"TRUNCATE shapes_entry_{chance.choice(['0', '1', '1_0', '2'])}")
        else:
            cursor.execute("DELETE FROM shapes_entry WHERE place = %s", [chance.choice(PLACES)])


def replace_room(chance):
    """By SQL: what refers to it and was told to, goes with it."""
    with transaction.atomic(), connection.cursor() as cursor:
        pk = chance.choice(ROOMS)
        cursor.execute("DELETE FROM shapes_room WHERE id = %s", [pk])
        cursor.execute("INSERT INTO shapes_room (id, name) VALUES (%s, 'replaced')", [pk])


def replace_tag(chance):
    """By SQL: what refers to it and was told to, forgets it."""
    with transaction.atomic(), connection.cursor() as cursor:
        pk = chance.choice(TAGS)
        cursor.execute("DELETE FROM shapes_tag WHERE id = %s", [pk])
        cursor.execute("INSERT INTO shapes_tag (id, name) VALUES (%s, 'replaced')", [pk])


# Notes: rows whose owners see them, and users whose rights change


def note(chance):
    Note.objects.create(owner=user_named(chance.choice(USERS)), text=str(chance.randrange(9)))


def note_changes(chance):
    if (found := some(Note, chance)) is not None:
        found.text = str(chance.randrange(9))
        found.secret = str(chance.randrange(9))
        found.public = chance.random() < 0.2
        found.save()


def note_given_away(chance):
    if (found := some(Note, chance)) is not None:
        found.owner = user_named(chance.choice(USERS))
        found.save()


def notes_published(chance):
    Note.objects.filter(owner__username=chance.choice(USERS)).update(public=chance.random() < 0.5)


def note_goes(chance):
    if (found := some(Note, chance)) is not None:
        found.delete()


def team_changed(chance):
    User.objects.filter(username=chance.choice(USERS)).update(last_name=chance.choice(TEAMS))


def promoted(chance):
    User.objects.filter(username=chance.choice(USERS)).update(is_staff=chance.random() < 0.5)


def promoted_with_a_note(chance):
    """Right and row change together."""
    with transaction.atomic():
        promoted(chance)
        note_changes(chance)


def locked_out(chance):
    """For a moment somebody may not be here at all."""
    users = User.objects.filter(username=chance.choice(USERS))
    users.update(is_active=False)
    time.sleep(chance.uniform(0, 0.4))
    users.update(is_active=True)


def only_what_is_readable(before, after, groups):
    """Stream `note`: who is sent a secret sees everything, so all rows have one or none has."""
    having = {"secret" in row for row in after.values()}
    return None if len(having) < 2 else f"Some rows have secrets, some haven't: {after}."


# Transactions that stay open


def several(chance):
    """Some writes in one transaction."""
    with transaction.atomic():
        for write in chance.sample(ACCOUNT_WRITES + NAMED_WRITES, 2):
            write(chance)
        chance.choice(MESSAGE_WRITES)(chance)


def late(chance):
    """Committed some time after it was written, behind others that began later."""
    with transaction.atomic():
        write = chance.choice([transfer, transfer_by_saving, create, bulk, save, named_come, *LATE])
        write(chance)
        time.sleep(chance.uniform(0, 0.2))


def late_and_undone(chance):
    try:
        with transaction.atomic():
            transfer(chance)
            create(chance)
            time.sleep(chance.uniform(0, 0.1))
            raise Undo
    except Undo:
        pass


MESSAGE_WRITES = [
    *(create, create, save, move, hide, delete, reinsert, all_change, all_move, thin_out, bulk),
    *(bulk_update, raw, tag, untag, tag_from_there, untag_from_there, clear_tag, clear_room),
    *(rolled_back, half_rolled_back),
]
WATCHED_WRITES = [
    *(rename_room, rename_rooms, rename_tag, move_some, delete_some),
    *(tag_some, untag_some, tag_others),
]
CHILD_WRITES = [child_come, child_change, parent_change, children_change, child_go, parents_go]
SLOT_WRITES = [slot_take, slot_move, slots_come]
ENTRY_WRITES = [
    *(entry_come, entries_come, entry_changes, entries_move, entries_go),
    *(change_part, truncate_part, replace_room, replace_tag),
]
#: Those after which something stays open for others to fall in between.
LATE = [rename_room, rename_rooms, move_some, tag_some]
NAMED_WRITES = [named_come, named_change, named_renamed, named_go]
ACCOUNT_WRITES = [transfer, transfer, transfer_by_saving, close_account]
NOTE_WRITES = [note, note, note_changes, note_changes, note_given_away, notes_published, note_goes]
RIGHTS_WRITES = [team_changed, promoted, promoted_with_a_note, locked_out]
WRITES = [
    *(*MESSAGE_WRITES, *NAMED_WRITES, *ACCOUNT_WRITES, truncate, several),
    *(*WATCHED_WRITES, *CHILD_WRITES, *SLOT_WRITES, *ENTRY_WRITES),
]
SLOW = [late, late, late_and_undone, by_shell, by_shell]
