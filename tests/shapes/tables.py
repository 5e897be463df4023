"""Tables that Django can't make: there while the bindings of `tests.shapes.watching` are."""

from django.db import connection

#: What becomes of an entry with its room and its tag, without Django's doing.
COLUMNS = """
    place integer NOT NULL,
    text varchar(40) NOT NULL,
    room_id bigint NOT NULL REFERENCES shapes_room ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    tag_id bigint REFERENCES shapes_tag ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED
"""
#: One partition is itself in partitions, which are named otherwise.
MADE = {
    "sqlite": [f"CREATE TABLE shapes_entry (id integer PRIMARY KEY AUTOINCREMENT, {COLUMNS})"],
    "postgresql": [
        "CREATE SEQUENCE shapes_entry_id_seq",
        "CREATE TABLE shapes_entry (id bigint NOT NULL DEFAULT nextval('shapes_entry_id_seq'), "
        f"{COLUMNS}) PARTITION BY LIST (place)",
        "CREATE TABLE shapes_entry_0 PARTITION OF shapes_entry FOR VALUES IN (0)",
        "CREATE TABLE shapes_entry_1 PARTITION OF shapes_entry FOR VALUES IN (1) "
        "PARTITION BY HASH (id)",
        *(
            f"CREATE TABLE shapes_entry_1_{half} PARTITION OF shapes_entry_1 "
            f"FOR VALUES WITH (MODULUS 2, REMAINDER {half})"
            for half in (0, 1)
        ),
        "CREATE TABLE shapes_entry_2 PARTITION OF shapes_entry DEFAULT",
    ],
}
DROPPED = {
    "sqlite": ["DROP TABLE shapes_entry"],
    "postgresql": ["DROP TABLE shapes_entry", "DROP SEQUENCE shapes_entry_id_seq"],
}


def make():
    _execute(MADE)


def drop():
    _execute(DROPPED)


def _execute(statements):
    with connection.cursor() as cursor:
        for statement in statements[connection.vendor]:
            cursor.execute(statement)
