"""Commands from the broker: what arrives below <base>/cmd/ -> a Command, or one sentence that says what is allowed.

    replay                   {"camera": "front-door", "from_seq": 12, "to_seq": 40}     to_seq: optional
    <camera>/set/enabled     {"enabled": true}                                          or ON, OFF, true, false
    <camera>/set/threshold   {"enter": 0.7, "exit": 0.4, "label": "left"}               label: optional

Each may have an "id", which stands in the answer. Anybody who may publish there can send anything, so this is strict:
nothing is guessed, nothing is ignored, and nothing is parsed before its size and depth are known to be small.
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

BYTES_MOST = 4096  # of a payload
DEPTH_MOST = 8  # brackets inside brackets
ID_MOST = 64  # characters
ECHO_MOST = 64  # characters of somebody else's text in an answer
SEQ_MOST = 2**63 - 1  # what a database can hold
COMMANDS_MOST, WITHIN_S = 20, 10.0

BARE = {b"ON": True, b"true": True, b"OFF": False, b"false": False}  # what dashboards send to a switch
PIECE = re.compile(r'"(?:[^"\\]|\\.)*+"?|[][{}]', re.DOTALL)  # a string, closed or not, or a bracket


class CommandError(EdgeTdnError):
    """What is wrong with a command. It is answered on <base>/reply and never ends the process; hence no exit status.

    `id`: the command's own, where it could be read.
    """

    def __init__(self, message: str, id: str | None = None) -> None:  # noqa: A002  (as the payload has it)
        super().__init__(message)
        self.id = id


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError
    return text


Printable = Annotated[str, AfterValidator(_printable)]
Id = Annotated[
    Annotated[Printable, Field(max_length=ID_MOST)] | None,
    Field(description=f"a text of at most {ID_MOST} printable characters"),
]
Label = Annotated[
    Annotated[Printable, Field(min_length=1, max_length=200)] | None,
    Field(description="one of the model's labels"),
]
Seq = Annotated[int, Field(ge=1, le=SEQ_MOST, description="a whole number from 1 on")]
Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, description="a number from 0 to 1")]
STRICT = ConfigDict(strict=True)


@dataclass(frozen=True, config=STRICT)
class Replay:
    """Send the events `from_seq` to `to_seq` of a camera again, both included; None: all from `from_seq` on."""

    camera: Annotated[str, Field(description="the name of a camera")]
    from_seq: Seq
    to_seq: Annotated[int | None, Field(ge=1, le=SEQ_MOST, description="a whole number, not below from_seq")] = None
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
    """Scores at which the actions of a camera start and end; None: of all labels. Whether it has the label is not
    known here."""

    camera: str
    enter: Score
    exit: Score
    label: Label = None
    id: Id = None

    def __post_init__(self) -> None:
        if self.exit > self.enter:
            raise ValueError(f"exit {self.exit} is above enter {self.enter}; an action would end as it starts")


Command = Replay | SetEnabled | SetThreshold
SETTINGS: dict[str, type[SetEnabled | SetThreshold]] = {"set/enabled": SetEnabled, "set/threshold": SetThreshold}
VERBS = "replay, <camera>/set/enabled, <camera>/set/threshold"


def parse(topic: str, payload: bytes, cameras: Collection[str]) -> Command:
    """A command from its topic below <base>/cmd/ and its payload. CommandError: it is none of the above."""
    camera, _, verb = topic.partition("/")
    if topic != "replay" and verb not in SETTINGS:
        raise CommandError(f"unknown command {_shown(topic)}; allowed: {VERBS}", _id_in(payload))
    if verb == "set/enabled" and payload in BARE:
        content: dict[str, Any] = {"enabled": BARE[payload]}
    elif verb == "set/enabled" and not payload.lstrip().startswith(b"{"):
        word = _shown(payload[:ECHO_MOST].decode(errors="replace"))
        raise CommandError(f"{word} is none of ON, OFF, true, false; else a command is a JSON object, in braces")
    else:
        content = _content(payload)
    try:
        if topic == "replay":
            command = _filled(Replay, content)
        else:
            if "camera" in content:
                raise CommandError("unknown key 'camera': it stands in the topic")
            command = _filled(SETTINGS[verb], {"camera": camera, **content})
        if command.camera not in cameras:
            raise CommandError(f"unknown camera {_shown(command.camera)}{_nearest(command.camera, cameras)}")
    except CommandError as error:
        raise CommandError(str(error), _id(content)) from None
    return command


class RateLimit:
    """At most COMMANDS_MOST commands within WITHIN_S seconds, whoever sends them."""

    def __init__(self) -> None:
        self._admitted_ns: deque[int] = deque(maxlen=COMMANDS_MOST)
        self._told = False

    def admits(self, now_ns: int) -> bool:
        """Whether one more may be parsed; `now_ns`: monotonic clock.

        CommandError (without an id: nothing was read): the first that is too many, to be answered. False: one more of
        these, to be ignored.
        """
        if len(self._admitted_ns) < COMMANDS_MOST or now_ns - self._admitted_ns[0] >= WITHIN_S * NS_PER_S:
            self._admitted_ns.append(now_ns)
            self._told = False
            return True
        if self._told:
            return False
        self._told = True
        raise CommandError(f"more than {COMMANDS_MOST} commands in {WITHIN_S:.0f} s: ignored; send again later")


def _content(payload: bytes) -> dict[str, Any]:
    """The JSON object of a payload; of one key, one value."""
    if len(payload) > BYTES_MOST:
        raise CommandError(f"{len(payload)} bytes; a command has at most {BYTES_MOST}")
    try:
        text = payload.decode()
        _check_depth(text)
        content = json.loads(
            text, object_pairs_hook=_object, parse_int=_int, parse_float=_float, parse_constant=_refuse_number
        )
        json.dumps(content, ensure_ascii=False).encode()  # half a surrogate pair is no text
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
    """Before json.loads, which recurses."""
    depth = 0
    for piece in PIECE.findall(text):
        depth += (piece in "[{") - (piece in "]}")
        if depth > DEPTH_MOST:
            raise CommandError(f"brackets in brackets, deeper than {DEPTH_MOST}; a command is a flat JSON object")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise CommandError(f"the key {_shown(twice)} stands there twice; once is allowed")
    return content


def _int(digits: str) -> int:
    if len(digits) > len(str(SEQ_MOST)):
        _refuse_number(digits)
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        _refuse_number(digits)
    return number


def _refuse_number(digits: str) -> NoReturn:
    raise CommandError(f"the number {digits[:ECHO_MOST]} is not allowed; only finite ones, and none above {SEQ_MOST}")


def _filled(kind: type[Command], content: dict[str, Any]) -> Command:
    """A command of this kind. CommandError: a key or value that it cannot have."""
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
    """The id of what is no command."""
    with suppress(CommandError):
        return _id(_content(payload))
    return None


def _id(content: dict[str, Any]) -> str | None:
    """The id of a command that is wrong elsewhere."""
    text = content.get("id")
    return text if isinstance(text, str) and len(text) <= ID_MOST and text.isprintable() else None


def _nearest(name: str, names: Collection[str]) -> str:
    return f"; {nearest(name[:ECHO_MOST], names)}"


def _shown(value: object) -> str:
    """Somebody else's value, printable and short."""
    text = repr(value)
    return text if len(text) <= ECHO_MOST else text[: ECHO_MOST - 3] + "..."
