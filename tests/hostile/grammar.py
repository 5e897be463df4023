"""Frames that nobody should send, made from what a demultiplexer declares.

    grammar = Grammar(Demultiplexer, Random(7))
    grammar.frame()         # text, or bytes for a binary frame

It knows what each stream takes - actions, fields, parameters, cursors, primary keys - makes a frame
that could be right, and then spoils it: in its values, its keys, its text or its bytes. Some stay
right: a server must not be afraid of those either.
"""

import json
from copy import deepcopy

from django.core.signing import Signer

from databinding.inbound import BindingConsumer, consumer_class_for
from databinding.serializers import serializer_class_for
from databinding.session import binding_of

#: Names that lead somewhere in Python, and must lead nowhere here.
DUNDER = ("__class__", "__init__", "__dict__", "__proto__", "constructor", "__globals__", "__del__")
#: Parameters of the methods that carry requests, and of those that they call.
INTERNAL = ("self", "action", "request_id", "stream", "payload", "kwargs", "scope", "door", "pk")
LARGEST = 2**63
TEXTS = (
    "",
    " ",
    "\0",
    "\n2026-01-01 00:00:00 ERROR databinding: forged",
    "\u202e\u2066",
    "é" * 40,
    "🜁" * 40,
    "x" * 5_000,
    "' OR 1=1 --",
    '"; DROP TABLE values_integervalue; --',
    "%s%n{0.__class__}",
    "${jndi:ldap://127.0.0.1/}",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "null",
    "NaN",
    "9" * 400,
    "1e400",
    "0x10",
    "room-2",
)


def nested(depth, text="0"):
    return "[" * depth + text + "]" * depth


class Grammar:
    """Frames for the streams of a demultiplexer.

    `cursors` and `keys` are real ones, as an attacker may have got them, also of other audiences.
    """

    def __init__(self, demultiplexer, chance, *, cursors=(), keys=(1, 2, 3)):
        self.chance = chance
        self.cursors = list(cursors)
        self.keys = list(keys)
        self.streams = {
            name: self._declared(carried) for name, carried in demultiplexer.consumers.items()
        }

    @staticmethod
    def _declared(carried):
        """Actions, other names, fields and parameters of a stream."""
        binding = binding_of(carried)
        if binding is None:
            return {"actions": ["list"], "others": dir(carried), "fields": [], "parameters": []}
        own = isinstance(carried, type) and issubclass(carried, BindingConsumer)
        consumer = carried if own else consumer_class_for(binding)
        actions = [*consumer.available_actions, "subscribe", "unsubscribe", "ack"]
        parameters = ["limit"] if binding.order_by else []
        if binding.parameters is not None:
            parameters += binding.parameters().fields
        return {
            "actions": actions,
            "others": [name for name in dir(consumer) if name not in actions],
            "fields": [*serializer_class_for(binding)().fields, *binding.extra_names()],
            "parameters": parameters,
        }

    def frame(self):
        """One frame: text, or bytes."""
        frame = self.right()
        for _ in range(self._pick((0, 1, 1, 1, 2, 3))):
            frame = self._pick((self._other_value, self._other_key, self._other_action))(frame)
        try:
            text = json.dumps(frame, ensure_ascii=self._one_in(2))
        except RecursionError:
            text = "{"
        if self._one_in(3):
            text = self._pick(self.SPOILING)(self, text)
        if self._one_in(8):
            return self._bytes(text)
        # No server hands over a text frame that isn't UTF-8.
        return text.encode("utf-8", errors="replace").decode()

    def right(self):
        """A frame that the stream could take, or the connection."""
        if self._one_in(25):
            token = {"action": "authenticate", "token": self._pick(("x" * 40, self.value()))}
            return {"stream": None, "payload": self._pick(({"action": "whoami"}, token))}
        stream = self._pick(list(self.streams))
        declared = self.streams[stream]
        action = self._pick(declared["actions"])
        payload = {"action": action}
        if not self._one_in(3):
            payload["request_id"] = self._pick((1, 7, "a", LARGEST, 10**30, 1.5))
        match action:
            case "create":
                payload["data"] = self._data(declared)
                if self._one_in(2):
                    keys = ("k" * 36, "l" * 36, self.value())
                    payload["idempotency_key"] = self._pick(keys)
            case "update":
                payload |= {"pk": self._key(), "data": self._data(declared)}
                if self._one_in(2):
                    payload["expect"] = self._data(declared)
            case "delete" | "retrieve":
                payload["pk"] = self._key()
            case "list":
                payload |= {"limit": self._pick((1, 5, 1000)), "after": self._key()}
            case "ack":
                payload["frames"] = self._pick((1, 2, 10**12))
            case "subscribe":
                payload["window"] = self._pick((1, 8, 64))
                if self._one_in(2):
                    payload["cursor"] = self.cursor()
                for name in declared["parameters"]:
                    if self._one_in(2):
                        payload[name] = self._pick((1, 2, 10, self.value()))
            case _:
                payload |= {"key": self.value(), "handle": self.value()}
        return {"stream": stream, "payload": payload}

    def cursor(self):
        """A cursor that is real, and then perhaps cut, altered, or signed by somebody else."""
        real = self._pick(self.cursors) if self.cursors else "0123abcd.4567cdef.1.2."
        body = real.rpartition(":")[0] or real
        place = self.chance.randrange(len(real) + 1)
        other = self._pick(("0", "z", ".", ":", "é", "\0"))
        return self._pick(
            (
                real,
                real[:place],
                real[:place] + other + real[place + 1 :],
                Signer(key="another key", salt="databinding.cursor").sign(body),
                Signer(salt="another salt").sign(body),
                body,
                body + ":",
                ":",
                real * 50,
                Signer(salt="databinding.cursor").sign(self._pick(TEXTS)),
            )
        )

    def value(self, depth=2):
        """Any JSON value, and some that JSON only just allows."""
        kind = self.chance.randrange(9 if depth else 7)
        match kind:
            case 0:
                return self._pick((None, True, False))
            case 1:
                return self._pick((0, -1, 1, LARGEST, -LARGEST - 1, 10**300, 2**31))
            case 2:
                return self._pick((0.1, -0.0, 1e308, 5e-324, 1.5))
            case 3 | 4:
                return self._pick(TEXTS)
            case 5:
                return self._pick(("\ud800", "a\udfff", "\ud83d\ude00", "\uffff"))
            case 6:
                return self._pick((*DUNDER, *INTERNAL))
            case 7:
                return [self.value(depth - 1) for _ in range(self._pick((0, 1, 3)))]
        names = (*DUNDER, *INTERNAL, "", "id", "x")
        return {self._pick(names): self.value(depth - 1) for _ in range(self._pick((0, 1, 3)))}

    def _data(self, declared):
        names = declared["fields"] or ["x"]
        chosen = [name for name in names if self._one_in(2)]
        return {name: self._pick((self.value(), self._key(), "text")) for name in chosen}

    def _key(self):
        return self._pick(self.keys) if self._one_in(2) else self.value(1)

    # What is spoilt in a frame's values

    def _other_value(self, frame):
        """Some value, however deep, becomes another one."""
        holder, name = self._place(frame)
        if holder is None:
            return self.value()
        holder[name] = self.value()
        return frame

    def _other_key(self, frame):
        """A key goes, comes, or is called otherwise."""
        if not isinstance(frame, dict):
            return frame
        holder = frame["payload"] if isinstance(frame.get("payload"), dict) else frame
        names = (*DUNDER, *INTERNAL, "data", "groups", "group", "user", "room", "cursor", "window")
        match self.chance.randrange(3):
            case 0 if holder:
                del holder[self._pick(list(holder))]
            case 1 if holder:
                holder[self._pick(names)] = holder.pop(self._pick(list(holder)))
            case _:
                holder[self._pick(names)] = self.value()
        return frame

    def _other_action(self, frame):
        """An action that is none: a method's name, a dunder, another spelling."""
        if not (isinstance(frame, dict) and isinstance(frame.get("payload"), dict)):
            return frame
        declared = self.streams.get(frame.get("stream"), next(iter(self.streams.values())))
        action = frame["payload"].get("action")
        said = action if isinstance(action, str) else "list"
        frame["payload"]["action"] = self._pick(
            (
                self._pick(declared["others"]),
                self._pick(DUNDER),
                said.upper(),
                f"{said} ",
                f"perform_{said}",
                f"_{said}",
                f"{said}.__call__",
                self.value(1),
            )
        )
        return frame

    def _place(self, frame):
        """Somewhere in a frame: what holds it, and its name there."""
        places = []

        def walk(holder):
            items = holder.items() if isinstance(holder, dict) else enumerate(holder)
            for name, value in items:
                places.append((holder, name))
                if isinstance(value, (dict, list)):
                    walk(value)

        if isinstance(frame, (dict, list)):
            walk(frame)
        return self._pick(places) if places else (None, None)

    # What is spoilt in a frame's text

    def _cut(self, text):
        return text[: self.chance.randrange(len(text) + 1)]

    def _insert(self, text):
        place = self.chance.randrange(len(text) + 1)
        inserted = self._pick(
            ("\0", ",", "}", '"', "\\", "\\ud800", "\\u0000", "\ufeff", "//", "'")
        )
        return text[:place] + inserted + text[place:]

    def _twice(self, text):
        """Keys that are there twice, or a whole frame behind another."""
        again = json.dumps(self._pick(list(self.streams)))
        return self._pick(
            (
                text + text,
                text[:-1] + f', "stream": {again}}}',
                text[:-1] + ', "payload": {"action": "list"}}',
                text.replace('{"action"', '{"action": "delete", "pk": 1, "action"'),
            )
        )

    def _deep(self, text):
        depth = self._pick((10, 200, 990, 5_000, 100_000))
        stream = json.dumps(self._pick(list(self.streams)))
        return self._pick(
            (
                nested(depth),
                "[" * depth,
                '{"a":' * depth + "1" + "}" * depth,
                f'{{"stream":{stream},"payload":{nested(depth)}}}',
                f'{{"stream":{stream},"payload":{{"action":"create","data":{nested(depth)}}}}}',
                f'{{"stream":{stream},"payload":{{"action":"create","request_id":{nested(depth)}}}}}',
            )
        )

    def _number(self, text):
        number = self._pick(
            ("NaN", "-Infinity", "1e400", "-1e400", "9" * 5_000, "1e-400", "01", "1.", "+1", ".5")
        )
        stream = json.dumps(self._pick(list(self.streams)))
        payload = self._pick(
            (
                f'{{"action":"retrieve","request_id":1,"pk":{number}}}',
                f'{{"action":"list","request_id":{number}}}',
                f'{{"action":"ack","frames":{number}}}',
                f'{{"action":"update","request_id":1,"pk":1,"data":{{"value":{number}}}}}',
                f'{{"action":"subscribe","request_id":1,"window":{number}}}',
            )
        )
        return f'{{"stream":{stream},"payload":{payload}}}'

    def _wide(self, text):
        stream = json.dumps(self._pick(list(self.streams)))
        many = ",".join(f'"k{number}":{number}' for number in range(2_000))
        return self._pick(
            (
                f'{{"stream":{stream},"payload":{{{many}}}}}',
                f'{{"stream":{stream},"payload":{{"action":"create","data":{{{many}}}}}}}',
                f'{{"stream":{stream},"payload":{{"action":"create","request_id":1,{many}}}}}',
                f'{{"stream":"{"s" * 5_000}","payload":{{"action":"list","request_id":1}}}}',
                f'{{"stream":{stream},"payload":{{"action":"{"a" * 5_000}","request_id":1}}}}',
                f'{{"stream":{stream},"payload":{{"action":"list","request_id":"{"r" * 5_000}"}}}}',
                " " * 5_000 + text,
                "[" + ",".join("0" for _ in range(20_000)) + "]",
            )
        )

    def _nearly_a_ping(self, text):
        return self._pick(("ping", "ping ", "PING", "pong!", '"ping"', "", " ", "\n"))

    SPOILING = (_cut, _insert, _twice, _deep, _number, _wide, _nearly_a_ping)

    def _bytes(self, text):
        """A binary frame: text as such, or what is no text."""
        raw = text.encode("utf-8", errors="surrogatepass")
        return self._pick(
            (raw, raw[: len(raw) // 2] + b"\xff\xfe", text.encode("utf-16", "surrogatepass"), b"\0")
        )

    def _pick(self, among):
        return deepcopy(self.chance.choice(among))

    def _one_in(self, number):
        return self.chance.randrange(number) == 0
