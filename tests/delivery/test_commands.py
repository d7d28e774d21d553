"""Tests of what clients send below <base>/cmd/: it is a command, or rejected with one sentence."""

import json
import math
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_tdn.delivery.commands import (
    MAX_COMMAND_BYTES,
    MAX_COMMANDS,
    RATE_WINDOW_S,
    CommandError,
    RateLimit,
    Replay,
    SetEnabled,
    SetThreshold,
    parse,
)
from edge_tdn.messages import NS_PER_S

CAMERAS = ("front-door", "yard")
REPLAY = '{"camera": "yard", "from_seq": %s}'
THRESHOLD = '{"enter": %s, "exit": 0.1}'


@pytest.mark.parametrize(
    ("topic", "payload", "command"),
    [
        ("replay", '{"camera": "yard", "from_seq": 12}', Replay("yard", 12)),
        ("replay", '{"camera": "yard", "from_seq": 1, "to_seq": 1, "id": "ä b"}', Replay("yard", 1, 1, "ä b")),
        ("yard/set/enabled", '{"enabled": false, "id": "7"}', SetEnabled("yard", False, "7")),
        ("yard/set/enabled", "ON", SetEnabled("yard", True)),
        ("yard/set/enabled", "OFF", SetEnabled("yard", False)),
        ("yard/set/enabled", "true", SetEnabled("yard", True)),
        ("yard/set/enabled", "false", SetEnabled("yard", False)),
        ("yard/set/threshold", '{"enter": 1, "exit": 0.4}', SetThreshold("yard", 1, 0.4)),
        ("yard/set/threshold", '{"enter": 0.7}', SetThreshold("yard", 0.7)),
        ("yard/set/threshold", '{"enter": 0.4, "exit": 0.4, "label": "left"}', SetThreshold("yard", 0.4, 0.4, "left")),
        (
            "yard/set/threshold",
            '{"enter": 0.4, "label": "left", "zone": "gate"}',
            SetThreshold("yard", 0.4, label="left", zone="gate"),
        ),
    ],
)
def test_a_valid_command_is_parsed(topic: str, payload: str, command: object) -> None:
    assert parse(topic, payload.encode(), CAMERAS) == command


@pytest.mark.parametrize(
    ("topic", "payload", "message"),
    [
        ("replay", THRESHOLD % "NaN", "NaN is not allowed"),
        ("replay", THRESHOLD % "-Infinity", "Infinity is not allowed"),
        ("yard/set/threshold", THRESHOLD % "1e999", "1e999 is not allowed"),
        ("replay", REPLAY % ("9" * 4000), "is not allowed; only finite"),
        ("replay", REPLAY % 2**63, "from 1"),
        ("replay", "[" * 100_000, "100000 bytes; a command has at most 4096"),
        ("replay", "[" * 4096, "deeper than 8"),
        ("replay", '{"a":' * 800, "deeper than 8"),
        ("replay", "x" * 1_000_000, "at most 4096"),
        ("replay", '"' + '\\"' * 2000, "not JSON"),  # a scan that starts again at every quote would take long
        ("replay", '{"camera": "yard", "camera": "yard", "from_seq": 1}', "'camera' occurs twice"),
        ("replay", '{"camera": "yard", "from_seq": 1, "id": {"a": 1, "a": 2}}', "'a' occurs twice"),
        ("replay", '{"camera": "\\ud800", "from_seq": 1}', "surrogate"),
        ("replay", '{"\\udfff": 1}', "surrogate"),
        ("replay", '{"camera": "höf"}'.encode("latin-1"), "not UTF-8 (byte 13)"),
        ("replay", b"\xef\xbb\xbf{}", "BOM"),
        ("replay", '{"camera": "yard"}'.encode("utf-16"), "not UTF-8 (byte 0)"),
        ("replay", '{"camera": "yard"}'.encode("utf-16-le"), "not JSON"),
        ("replay", "", "not JSON"),
        ("replay", "[]", "a command is a JSON object"),
        ("replay", "[" + "[{}]," * 20 + "[]]", "a command is a JSON object"),
        (
            "replay",
            '{"camera": "yard", "from_seq": 1, "id": "\\u0007"}',
            "id = '\\x07': a text of at most 64 printable",
        ),
        ("replay", "ON", "not JSON"),
        ("replay", "null", "a command is a JSON object"),
        ("replay", "{}", "camera is missing: the name of a camera"),
        ("replay", '{"camera": 7, "from_seq": 1}', "camera = 7: the name of a camera"),
        ("replay", REPLAY % "true", "from_seq = True: a whole number from 1"),
        ("replay", REPLAY % "1.0", "from_seq = 1.0: a whole number"),
        ("replay", REPLAY % '"1"', "from_seq = '1': a whole number"),
        ("replay", REPLAY % "0", "from 1"),
        ("replay", REPLAY % '{"a": {"b": []}}', "from_seq = {'a': {'b': []}}: a whole number"),
        ("replay", '{"camera": "yard", "from_seq": 5, "to_seq": 4}', "to_seq 4 is below from_seq 5"),
        (
            "replay",
            '{"camera": "yard", "from_seq": 5, "path": "/etc"}',
            "unknown key 'path'; allowed: camera, from_seq",
        ),
        ("replay", '{"camera": "yard", "from_seq": 5, "__dataclass_self__": 1}', "unknown key '__dataclass_self__'"),
        ("replay", '{"camera": "front-dor", "from_seq": 5}', "unknown camera 'front-dor'; did you mean 'front-door'?"),
        ("kitchen/set/enabled", "ON", "unknown camera 'kitchen'; allowed: front-door, yard"),
        ("yard/set/enabled", "off", "'off' is not ON, OFF, true or false; otherwise a command is a JSON object"),
        ("yard/set/enabled", "", "'' is not ON, OFF"),
        ("yard/set/enabled", '{"enabled": tru}', "not JSON"),
        ("yard/set/enabled", '{"enabled": 1}', "enabled = 1: true or false; alone, without braces, also ON or OFF"),
        ("yard/set/enabled", '{"enabled": true, "camera": "yard"}', "unknown key 'camera': the topic names it"),
        ("yard/set/threshold", THRESHOLD % "true", "enter = True: a number from 0 to 1"),
        ("yard/set/threshold", THRESHOLD % "1.01", "from 0 to 1"),
        ("yard/set/threshold", THRESHOLD % "0.05", "exit 0.1 is above enter 0.05"),
        ("yard/set/threshold", '{"enter": 1, "exit": 2}', "exit = 2: a number from 0 to 1, not above enter"),
        ("yard/set/threshold", '{"enter": 1, "exit": 0, "label": ""}', "label = '': one of the model's labels"),
        ("yard/set/threshold", '{"enter": 1, "zone": ""}', "zone = '': the name of one of the camera's zones"),
        ("yard/set/threshold", '{"enter": 1, "zone": ["gate"]}', "zone = ['gate']: the name of one of the camera's"),
        (
            "yard/set/threshold",
            '{"enter": 1, "zones": "gate"}',
            "unknown key 'zones'; allowed: enter, exit, label, zone",
        ),
        ("yard/set/enabled", '{"enabled": true, "zone": "gate"}', "unknown key 'zone'; allowed: enabled, id"),
        ("yard/set/source", "{}", "unknown command 'yard/set/source'; allowed: replay, <camera>/set/enabled"),
        ("bogus", "1", "unknown command 'bogus'; allowed: replay, "),
        ("", "{}", "unknown command ''"),
        ("replay/", "{}", "unknown command"),
        ("/set/enabled", "ON", "unknown camera ''"),
    ],
)
def test_an_invalid_command_is_rejected_with_what_is_allowed(topic: str, payload: str | bytes, message: str) -> None:
    with pytest.raises(CommandError) as rejected:
        parse(topic, payload.encode() if isinstance(payload, str) else payload, CAMERAS)
    assert message in str(rejected.value)


@pytest.mark.parametrize(
    ("topic", "payload", "id_"),
    [
        ("no/such", {"id": "a"}, "a"),
        ("replay", {"id": "a", "camera": "nowhere", "from_seq": 1}, "a"),
        ("replay", {"id": "a", "from_seq": {}}, "a"),
        ("yard/set/threshold", {"id": "a", "enter": 0, "exit": 1}, "a"),
        ("replay", {"id": "a" * 65}, None),
        ("replay", {"id": "a\x07"}, None),
        ("replay", {"id": "\u202e"}, None),  # what follows would be shown from right to left
        ("replay", {"id": 7}, None),
    ],
)
def test_an_invalid_command_keeps_its_id(topic: str, payload: dict[str, object], id_: str | None) -> None:
    with pytest.raises(CommandError) as rejected:
        parse(topic, json.dumps(payload).encode(), CAMERAS)
    assert rejected.value.id == id_


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
KEYS = st.sampled_from(["camera", "from_seq", "to_seq", "id", "enabled", "enter", "exit", "label", "zone", "other"])
VALUES = st.sampled_from(["yard", "yrd", 1, 2, 0.5, True, None, -1, 2**70]) | JSON
ALMOST = st.dictionaries(KEYS, VALUES, max_size=5).map(json.dumps).map(str.encode)
TOPICS = st.sampled_from(["replay", "yard/set/enabled", "yard/set/threshold", "yrd/set/enabled"])


@given(TOPICS | st.text(), st.binary(max_size=200) | st.text().map(lambda text: text.encode("utf-8")) | ALMOST)
@example("x" * 65_000, b"{}")
@example("x" * 65_000 + "/set/enabled", b"ON")
@example("replay", b'{"camera": "%s", "from_seq": 1}' % (b"x" * 4000))
@example("replay", b"\x00" * (MAX_COMMAND_BYTES + 1))
def test_any_payload_is_a_command_or_rejected_with_one_short_printable_sentence(topic: str, payload: bytes) -> None:
    took_s = math.inf
    for _ in range(3):  # the quickest: garbage may be collected meanwhile, of all that earlier tests have left
        before = time.thread_time()
        id_, sentence = None, "a command"
        try:
            command = parse(topic, payload, CAMERAS)
        except CommandError as error:
            id_, sentence = error.id, str(error)
        else:
            id_ = command.id
            assert command.camera in CAMERAS
        took_s = min(took_s, time.thread_time() - before)
        if took_s < 1:
            break
    assert id_ is None or (len(id_) <= 64 and id_.isprintable())
    assert 0 < len(sentence) < 300
    assert sentence.isprintable()
    assert took_s < 1  # processor time of this thread alone; a millisecond is usual


PAUSES_AND_BURSTS = st.lists(st.tuples(st.integers(0, 15 * NS_PER_S), st.integers(1, 2 * MAX_COMMANDS)), max_size=10)


@given(PAUSES_AND_BURSTS)
@example([(0, 2 * MAX_COMMANDS), (12 * NS_PER_S, 2 * MAX_COMMANDS)])
def test_beyond_the_limit_commands_are_ignored_and_one_is_answered(bursts: list[tuple[int, int]]) -> None:
    limit, now_ns, admitted, refused = RateLimit(), 0, list[int](), 0
    for pause_ns, commands in bursts:
        now_ns += pause_ns
        for _ in range(commands):
            within = [moment for moment in admitted if now_ns - moment < RATE_WINDOW_S * NS_PER_S]
            answered = False
            try:
                admits = limit.admits(now_ns)
            except CommandError as error:
                admits, answered = False, error.id is None
            assert admits == (len(within) < MAX_COMMANDS)
            assert answered == (not admits and refused == 0), "one answer to a burst"
            if admits:
                admitted.append(now_ns)
            refused = 0 if admits else refused + 1
