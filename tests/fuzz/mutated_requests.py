"""Requests that are nearly right, for the scanner: `python -m tests.fuzz.mutated_requests`.

Each case is a real request of some method whose fields are repeated, moved, replaced, nested
otherwise and cut, or whose bytes are. It is framed, perhaps compressed, and comes in pieces. Our
scanner and protobuf must agree.
"""

import argparse
import random
import sys
import time
from collections import Counter
from functools import cache

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tests.support.request_oracle import (
    NEEDS,
    compare,
    compressed,
    framed,
    request_type,
    scanned,
)
from vecguard.errors import VecguardError
from vecguard.proxy.authorization.methods import Need

_REQUESTS_OF_A_METHOD = 30
_MOST_BYTEWISE = 400
# Those whose request is read in a way of its own.
_SPECIAL = [
    need for need in NEEDS if need.names or need.moves_to or len(need.name or need.own_role) > 1
]
_SPECIAL_SHARE = 0.4
_SHOWN_DIFFERENCES = 10
_TEXTS = (
    "",
    "a",
    "docs",
    "root",
    "default",
    "a.b",
    "*",
    "\0",
    "é",
    "日本",
    "\U0001f600",
    "x" * 200,
)
_BAD_TEXTS = (b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80")


def run(cases: int, seed: int = 1) -> tuple[Counter, list[str]]:
    """Judges so many cases. Returns how many ended in which way, and the differences."""
    dice = random.Random(seed)
    outcomes: Counter[str] = Counter()
    differences = []
    for _ in range(cases):
        need = dice.choice(_SPECIAL if dice.random() < _SPECIAL_SHARE else NEEDS)
        message = mutated(need, dice)
        try:
            outcomes[_judged(need, message, dice)] += 1
        except Exception as error:  # noqa: BLE001 - any other error than a refusal is a finding
            differences.append(f"{need.method} {message.hex()}: {error!r}")
    return outcomes, differences


def mutated(need: Need, dice: random.Random) -> bytes:
    """A real request of the method with some changes, or none."""
    fields = list(dice.choice(_requests(need)))
    for _ in range(dice.choice((0, 1, 1, 2, 3, 4))):
        dice.choice(_OF_FIELDS)(fields, need, dice)
    data = b"".join(fields)
    for _ in range(dice.choice((0, 0, 0, 1, 2))):
        data = _changed_bytes(data, dice)
    return data


def _judged(need: Need, message: bytes, dice: random.Random) -> str:
    encoding = None
    if dice.random() < 0.1:
        encoding = dice.choice((b"gzip", b"deflate", b"identity"))
        sent = message if encoding == b"identity" else compressed(message, encoding)
        frame = framed(sent, 1)
    else:
        frame = framed(message)
    if dice.random() < 0.05:
        return _refused_frame(need, frame, encoding, dice)
    return compare(need, message, _pieces(frame, dice), encoding=encoding)


def _refused_frame(need: Need, frame: bytes, encoding: bytes | None, dice: random.Random) -> str:
    frame = dice.choice(
        (
            frame[: dice.randrange(len(frame))],
            frame + dice.randbytes(dice.randrange(1, 8)),
            frame + frame,
            bytes([dice.randrange(2, 256)]) + frame[1:],
        )
    )
    try:
        found = scanned(need, _pieces(frame, dice), encoding=encoding)
    except VecguardError:
        return "no single message"
    raise AssertionError(f"we read {found} in {frame.hex()}")


def _pieces(data: bytes, dice: random.Random) -> list[bytes]:
    way = dice.random()
    if way < 0.4:
        return [data]
    if way < 0.55 and len(data) <= _MOST_BYTEWISE:
        return [data[at : at + 1] for at in range(len(data))]
    cuts = sorted(dice.randrange(len(data) + 1) for _ in range(dice.randrange(1, 6)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


# Changes of a list of encoded fields.


def _repeat(fields, need, dice):
    if fields:
        fields.insert(dice.randrange(len(fields) + 1), dice.choice(fields))


def _remove(fields, need, dice):
    if fields:
        del fields[dice.randrange(len(fields))]


def _shuffle(fields, need, dice):
    dice.shuffle(fields)


def _insert_unknown(fields, need, dice):
    fields.insert(dice.randrange(len(fields) + 1), _unknown(dice))


def _insert_needed(fields, need, dice):
    path = need.name or need.own_role
    numbers = [path[:1], (need.names,), (need.database,), (need.moves_to,)]
    number = dice.choice([number[0] for number in numbers if number and number[0]] or [1])
    if number == (path or (0,))[0] and len(path) > 1:
        field = _nested(path, dice)
    else:
        field = _text(number, dice)
    fields.insert(dice.randrange(len(fields) + 1), field)


_OF_FIELDS = (_repeat, _remove, _shuffle, _insert_unknown, *(_insert_needed,) * 4)


def _nested(path, dice) -> bytes:
    """A message on the path with the rest of it no, one or several times."""
    if len(path) == 1 or dice.random() < 0.05:
        return _text(path[0], dice)
    inner = b"".join(
        _unknown(dice) if dice.random() < 0.3 else _nested(path[1:], dice)
        for _ in range(dice.randrange(4))
    )
    if dice.random() < 0.05:
        inner = _changed_bytes(inner, dice)
    return _tag(path[0], 2, dice) + _varint(len(inner), dice) + inner


def _text(number, dice) -> bytes:
    way = dice.random()
    if way < 0.08:
        return _of_wire_type(number, dice.choice((0, 1, 3, 4, 5, 6, 7)), dice)
    text = dice.choice(_BAD_TEXTS) if way < 0.16 else dice.choice(_TEXTS).encode()
    length = len(text) if way < 0.97 else len(text) + dice.choice((1, -1, 100, 2**31, 2**35))
    return _tag(number, 2, dice) + _varint(max(0, length), dice) + text


def _unknown(dice) -> bytes:
    number = dice.choice((1, 4, 7, 9, 15, 16, 99, 2047, 2048, 2**29 - 1, 2**29, 0))
    if number in {0, 2**29} and dice.random() < 0.8:
        number = 30
    wire_type = dice.choice((0, 0, 1, 2, 2, 2, 5, 5))
    if dice.random() < 0.1:
        wire_type = dice.choice((3, 4, 6, 7))
    return _of_wire_type(number, wire_type, dice)


def _of_wire_type(number, wire_type, dice) -> bytes:
    tag = _tag(number, wire_type, dice)
    match wire_type:
        case 0:
            size = dice.choice((1, 1, 2, 5, 9, 10, 10, 11))
            return tag + bytes([0x80 | dice.randrange(128)] * (size - 1) + [dice.randrange(128)])
        case 1:
            return tag + dice.randbytes(8)
        case 2:
            value = dice.randbytes(dice.choice((0, 1, 3, 127, 128, 300)))
            return tag + _varint(len(value), dice) + value
        case 3 if dice.random() < 0.8:
            return tag + _varint(number << 3 | 4, dice)  # a group that ends
        case 5:
            return tag + dice.randbytes(4)
        case _:
            return tag


def _tag(number, wire_type, dice) -> bytes:
    return _varint(number << 3 | wire_type, dice)


def _varint(value: int, dice) -> bytes:
    """A varint that may be longer than it needs to be."""
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    if dice.random() < 0.05:
        data[-1] |= 0x80
        data += bytes([0x80] * dice.randrange(5) + [0])
    return bytes(data)


def _changed_bytes(data: bytes, dice) -> bytes:
    at = dice.randrange(len(data) + 1)
    match dice.randrange(5):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + dice.randbytes(dice.randrange(1, 5)) + data[at:]
        case 2:
            return data[:at] + data[at + dice.randrange(1, 5) :]
        case 3:
            return data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]
        case _:
            return data[:at] + data[dice.randrange(len(data) + 1) :]


# Real requests.


@cache
def _requests(need: Need) -> list[list[bytes]]:
    """Some requests, each as its encoded fields. Other bytes where pymilvus has no such method."""
    dice = random.Random(need.method)
    kind = request_type(need)
    if kind is None:
        return [[_text(2, dice), _text(3, dice)] for _ in range(_REQUESTS_OF_A_METHOD)]
    requests = []
    for _ in range(_REQUESTS_OF_A_METHOD):
        request = _filled(kind(), dice, depth=0)
        fields = []
        for field, _ in request.ListFields():
            single = kind()
            single.CopyFrom(request)
            for other, _ in request.ListFields():
                if other is not field:
                    single.ClearField(other.name)
            fields.append(single.SerializeToString())
        requests.append(fields)
    return requests


def _filled(message: Message, dice: random.Random, depth: int) -> Message:
    for field in message.DESCRIPTOR.fields:
        if dice.random() < 0.4:
            continue
        kind = field.message_type
        if kind is None:
            values = [_scalar(field, dice) for _ in range(dice.randrange(1, 4))]
            if field.is_repeated:
                getattr(message, field.name).extend(values)
            else:
                setattr(message, field.name, values[0])
        elif depth < 2 and not kind.GetOptions().map_entry:
            part = getattr(message, field.name)
            _filled(part.add() if field.is_repeated else part, dice, depth + 1)
    return message


def _scalar(field: FieldDescriptor, dice: random.Random):
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return dice.randbytes(dice.choice((0, 3, 130, 1100)))
        case FieldDescriptor.CPPTYPE_STRING:
            return dice.choice(_TEXTS)
        case FieldDescriptor.CPPTYPE_BOOL:
            return dice.random() < 0.5
        case FieldDescriptor.CPPTYPE_ENUM:
            return dice.choice(field.enum_type.values).number
        case FieldDescriptor.CPPTYPE_FLOAT | FieldDescriptor.CPPTYPE_DOUBLE:
            return dice.random()
        case _:
            return dice.choice((0, 1, 127, 128, 2**31 - 1))


def main() -> int:
    """Ends with 1 when there were differences."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.mutated_requests")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    began = time.perf_counter()
    outcomes, differences = run(arguments.cases, arguments.seed)
    seconds = time.perf_counter() - began
    print("\n".join(differences[:_SHOWN_DIFFERENCES]))
    counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
    print(
        f"{arguments.cases} mutated requests, {len(differences)} differences from protobuf, "
        f"{seconds:.0f} s ({counts})"
    )
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
