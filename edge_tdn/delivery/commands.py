"""Commands: parses what arrives below <base>/cmd/ into a Command, or raises one sentence that names what is allowed.

    replay                   {"camera": "front-door", "from_seq": 12, "to_seq": 40}     to_seq: optional
    <camera>/set/enabled     {"enabled": true}                                          or ON, OFF, true, false
    <camera>/set/threshold   {"enter": 0.7, "exit": 0.4, "label": "left"}               exit, label: optional

Each may have an "id", which the reply repeats. Every client that may publish there can send anything, so parsing is
strict: nothing is guessed, nothing is ignored, and nothing is parsed before its size and depth are known to be small.
Pure: no clock, no I/O.
"""

import json
import re
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from math import isfinite
from typing import Annotated, Any, NoReturn

from pydantic import AfterValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from edge_tdn.errors import EdgeTdnError
from edge_tdn.messages import NS_PER_S
from edge_tdn.spelling import nearest

MAX_COMMAND_BYTES = 4096  # of a payload
MAX_DEPTH = 8  # brackets inside brackets
MAX_ID_CHARS = 64
MAX_ECHO_CHARS = 64  # of a client's text in a reply
MAX_SEQ = 2**63 - 1  # largest integer of the outbox's database
MAX_COMMANDS, RATE_WINDOW_S = 20, 10.0

SWITCH_PAYLOADS = {b"ON": True, b"true": True, b"OFF": False, b"false": False}  # sent by dashboards
PARTS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[][{}]', re.DOTALL)  # a string, closed or not, or a bracket


class CommandError(EdgeTdnError):
    """A command that cannot be carried out. It is answered on <base>/reply and never ends the process.

    `id`: the command's own, if it could be read.
    """

    def __init__(self, message: str, id: str | None = None) -> None:  # noqa: A002  (the key in the payload)
        super().__init__(message)
        self.id = id


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError
    return text


Printable = Annotated[str, AfterValidator(_printable)]
Id = Annotated[
    Annotated[Printable, Field(max_length=MAX_ID_CHARS)] | None,
    Field(description=f"a text of at most {MAX_ID_CHARS} printable characters"),
]
Label = Annotated[
    Annotated[Printable, Field(min_length=1, max_length=200)] | None,
    Field(description="one of the model's labels"),
]
Seq = Annotated[int, Field(ge=1, le=MAX_SEQ, description="a whole number from 1")]
Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, description="a number from 0 to 1")]
STRICT = ConfigDict(strict=True)


@dataclass(frozen=True, config=STRICT)
class Replay:
    """Send the events `from_seq` to `to_seq` of a camera again, both included; None: all from `from_seq`."""

    camera: Annotated[str, Field(description="the name of a camera")]
    from_seq: Seq
    to_seq: Annotated[int | None, Field(ge=1, le=MAX_SEQ, description="a whole number, not below from_seq")] = None
    id: Id = None

    def __post_init__(self) -> None:
        if self.to_seq is not None and self.to_seq < self.from_seq:
            raise ValueError(f"to_seq {self.to_seq} is below from_seq {self.from_seq}; it must not be")


@dataclass(frozen=True, config=STRICT)
class SetEnabled:
    """Switch a camera on or off."""

    camera: str
    enabled: Annotated[bool, Field(description="true or false; alone, without braces, also ON or OFF")]
    id: Id = None


@dataclass(frozen=True, config=STRICT)
class SetThreshold:
    """Set the scores at which a camera's actions start and end.

    `exit`: None leaves it as it is, or lowers it to `enter`. `label`: None for all labels. `zone`: None for all zones.
    Neither is checked here: zones and labels are not known.
    """

    camera: str
    enter: Score
    exit: Annotated[
        float | None, Field(ge=0, le=1, allow_inf_nan=False, description="a number from 0 to 1, not above enter")
    ] = None
    label: Label = None
    zone: Annotated[
        Annotated[Printable, Field(min_length=1, max_length=64)] | None,
        Field(description="the name of one of the camera's zones"),
    ] = None
    id: Id = None

    def __post_init__(self) -> None:
        if self.exit is not None and self.exit > self.enter:
            raise ValueError(f"exit {self.exit} is above enter {self.enter}; an action would end as it starts")


Command = Replay | SetEnabled | SetThreshold
SETTINGS: dict[str, type[SetEnabled | SetThreshold]] = {"set/enabled": SetEnabled, "set/threshold": SetThreshold}
VERBS = "replay, <camera>/set/enabled, <camera>/set/threshold"


def parse(topic: str, payload: bytes, cameras: Collection[str]) -> Command:
    """Return the command of a topic below <base>/cmd/ and its payload. CommandError: it is not one of the above."""
    camera, _, verb = topic.partition("/")
    if topic != "replay" and verb not in SETTINGS:
        raise CommandError(f"unknown command {_shown(topic)}; allowed: {VERBS}", _id_in(payload))
    if verb == "set/enabled" and payload in SWITCH_PAYLOADS:
        content: dict[str, Any] = {"enabled": SWITCH_PAYLOADS[payload]}
    elif verb == "set/enabled" and not payload.lstrip().startswith(b"{"):
        word = _shown(payload[:MAX_ECHO_CHARS].decode(errors="replace"))
        raise CommandError(f"{word} is not ON, OFF, true or false; otherwise a command is a JSON object, in braces")
    else:
        content = _content(payload)
    try:
        if topic == "replay":
            command = _filled(Replay, content)
        else:
            if "camera" in content:
                raise CommandError("unknown key 'camera': the topic names it")
            command = _filled(SETTINGS[verb], {"camera": camera, **content})
        if command.camera not in cameras:
            raise CommandError(f"unknown camera {_shown(command.camera)}{_nearest(command.camera, cameras)}")
    except CommandError as error:
        raise CommandError(str(error), _id(content)) from None
    return command


class RateLimit:
    """Allows at most MAX_COMMANDS commands within RATE_WINDOW_S, from all clients together."""

    def __init__(self) -> None:
        self._admitted_ns: deque[int] = deque(maxlen=MAX_COMMANDS)
        self._answered = False  # the first command beyond the limit

    def takes(self, now_ns: int) -> bool:
        """Count one more command and return True, or return False if there are too many; `now_ns`: monotonic clock."""
        if len(self._admitted_ns) == MAX_COMMANDS and now_ns - self._admitted_ns[0] < RATE_WINDOW_S * NS_PER_S:
            return False
        self._admitted_ns.append(now_ns)
        self._answered = False
        return True

    def admits(self, now_ns: int) -> bool:
        """Return whether one more command may be parsed; `now_ns`: monotonic clock.

        CommandError: the first command beyond the limit, which is answered; it has no id, because nothing was parsed.
        False: one of the next ones, which are ignored.
        """
        if self.takes(now_ns):
            return True
        if self._answered:
            return False
        self._answered = True
        raise CommandError(f"more than {MAX_COMMANDS} commands in {RATE_WINDOW_S:.0f} s: ignored; send again later")


def _content(payload: bytes) -> dict[str, Any]:
    """Return the JSON object of a payload; each key occurs once."""
    if len(payload) > MAX_COMMAND_BYTES:
        raise CommandError(f"{len(payload)} bytes; a command has at most {MAX_COMMAND_BYTES}")
    try:
        text = payload.decode()
        _check_depth(text)
        content = json.loads(
            text, object_pairs_hook=_object, parse_int=_int, parse_float=_float, parse_constant=_refuse_number
        )
        json.dumps(content, ensure_ascii=False).encode()  # half a surrogate pair cannot be encoded
    except UnicodeEncodeError:
        raise CommandError("half a surrogate pair in a text; a command is UTF-8 JSON") from None
    except UnicodeDecodeError as error:
        raise CommandError(f"not UTF-8 (byte {error.start}); a command is UTF-8 JSON") from None
    except ValueError as error:
        raise CommandError(f"not JSON: {error}; a command is a JSON object, in braces") from None
    if not isinstance(content, dict):
        raise CommandError(f"{_shown(content)}: a command is a JSON object, in braces")
    return content


def _check_depth(text: str) -> None:
    """Raise CommandError for deeply nested brackets; json.loads would recurse."""
    depth = 0
    for part in PARTS.findall(text):
        depth += (part in "[{") - (part in "]}")
        if depth > MAX_DEPTH:
            raise CommandError(f"brackets in brackets, deeper than {MAX_DEPTH}; a command is a flat JSON object")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise CommandError(f"the key {_shown(twice)} occurs twice; once is allowed")
    return content


def _int(digits: str) -> int:
    if len(digits) > len(str(MAX_SEQ)):
        _refuse_number(digits)
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        _refuse_number(digits)
    return number


def _refuse_number(digits: str) -> NoReturn:
    shown = digits[:MAX_ECHO_CHARS]
    raise CommandError(f"the number {shown} is not allowed; only finite ones, and none above {MAX_SEQ}")


def _filled(kind: type[Command], content: dict[str, Any]) -> Command:
    """Return a command of this kind. CommandError: a key or value that it cannot have."""
    fields = kind.__pydantic_fields__  # type: ignore[union-attr]  # pydantic adds it
    unknown = next((key for key in content if key not in fields), None)
    if unknown is not None:
        allowed = ", ".join(name for name in fields if name != "camera" or kind is Replay)
        raise CommandError(f"unknown key {_shown(unknown)}; allowed: {allowed}")
    try:
        return kind(**content)
    except ValidationError as error:
        fault = error.errors()[0]
    if not fault["loc"]:
        raise CommandError(fault["msg"].removeprefix("Value error, "))
    key = str(fault["loc"][0])
    wrong = "is missing" if fault["type"] == "missing" else f"= {_shown(fault['input'])}"
    raise CommandError(f"{key} {wrong}: {fields[key].description}")


def _id_in(payload: bytes) -> str | None:
    """Return the id in the payload of an unknown command, or None."""
    with suppress(CommandError):
        return _id(_content(payload))
    return None


def _id(content: dict[str, Any]) -> str | None:
    """Return a command's id if it is valid, else None."""
    text = content.get("id")
    return text if isinstance(text, str) and len(text) <= MAX_ID_CHARS and text.isprintable() else None


def _nearest(name: str, names: Collection[str]) -> str:
    return f"; {nearest(name[:MAX_ECHO_CHARS], names)}"


def _shown(value: object) -> str:
    """Return a client's value, printable and short."""
    text = repr(value)
    return text if len(text) <= MAX_ECHO_CHARS else text[: MAX_ECHO_CHARS - 3] + "..."
