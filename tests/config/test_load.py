"""Loading a configuration: it is complete and frozen, and an error names file, line, key and what is allowed."""

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_tdn.config.load import load
from edge_tdn.config.process_tables import LogConfig, MetricsConfig
from edge_tdn.config.tables import (
    BrokerConfig,
    CameraConfig,
    DecideConfig,
    HomeAssistantConfig,
    OutboxConfig,
    RecordConfig,
    RuntimeConfig,
)
from edge_tdn.errors import ConfigError
from tests.support.site import error_of, write_text

TABLES = {
    "broker": BrokerConfig,
    "runtime": RuntimeConfig,
    "decide": DecideConfig,
    "outbox": OutboxConfig,
    "home_assistant": HomeAssistantConfig,
    "record": RecordConfig,
    "metrics": MetricsConfig,
    "log": LogConfig,
}
ACTION = '[[decide.action]]\nname = "fall"\n'
CAMERA = '[[camera]]\nname = "a"\nsource = "a.mp4"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CAMERA + "loops = true\n", r"site\.toml:4: camera\[0\]\.loops: unknown key; did you mean 'loop'\?"),
        ("[decide]\nenter_treshold = 0.5\n" + CAMERA, r":2: decide\.enter_treshold: .*did you mean 'enter_threshold'"),
        ("[brocker]\n" + CAMERA, r":1: brocker: unknown key; did you mean 'broker'"),
        ("[decide]\nzzz = 1\n" + CAMERA, r":2: decide\.zzz: unknown key; allowed: smoothing_s, enter_threshold"),
        ("[decide]\nenter_threshold = 1.5\n" + CAMERA, r":2: decide\.enter_threshold = 1\.5: should be less than .* 1"),
        ("[decide]\nenter_threshold = nan\n" + CAMERA, r":2: decide\.enter_threshold = nan: should be a finite"),
        ("[decide]\nsmoothing_s = true\n" + CAMERA, r":2: decide\.smoothing_s = True: should be a valid number"),
        ("[decide]\nsmoothing_s = '3'\n" + CAMERA, r":2: decide\.smoothing_s = '3': should be a valid number"),
        (
            "[decide]\nsmoothing_clips = 3\n" + CAMERA,
            r":2: decide\.smoothing_clips: unknown key; replaced by smoothing_s",
        ),
        ("[outbox]\nsmoothing_clips = 3\n" + CAMERA, r":2: outbox\.smoothing_clips: unknown key; allowed: folder"),
        ("[decide]\nexit_threshold = 0.8\n" + CAMERA, r":1: decide: exit_threshold 0\.8 is above enter_threshold 0\.7"),
        (
            ACTION + ACTION.replace("fall", "run") + "exit_treshold = 0.5\n" + CAMERA,
            r":5: decide\.action\[1\]\.exit_treshold: .*did you mean 'exit_threshold'",
        ),
        (ACTION + "labels = ['a', 7]\n" + CAMERA, r":3: decide\.action\[0\]\.labels\[1\] = 7: should be a valid str"),
        (
            ACTION + "exit_threshold = 0.8\n" + CAMERA,
            r"action 'fall': exit_threshold 0\.8 is above enter_threshold 0\.7",
        ),
        (ACTION + "max_length_s = 0.1\n" + CAMERA, r"action 'fall': max_length_s 0\.1 is below min_length_s 0\.4"),
        (
            "[decide]\n" + ACTION + ACTION.replace("fall", "run") + "enter_threshold = 0.3\n" + CAMERA,
            r":4: decide\.action\[1\]: action 'run': exit_threshold 0\.4 \(its default\) is above enter_thr",
        ),
        (
            ACTION + "labels = ['x', 'x']\n" + CAMERA,
            r":3: decide\.action\[0\]\.labels: duplicate label 'x'; list each label once",
        ),
        ("[decide.action]\nname = 'x'\n" + CAMERA, r":1: decide\.action: write \[\[decide\.action\]\], with two br"),
        (
            ACTION.replace("fall", "none") + CAMERA,
            r":2: decide\.action\[0\]\.name = 'none': reserved: <camera>/action is none while",
        ),
        (ACTION.replace("fall", "a\\tb") + CAMERA, r":2: decide\.action\[0\]\.name = 'a\\tb': allowed: 1 to 200"),
        (ACTION.replace("fall", "a" * 201) + CAMERA, r"a': allowed: 1 to 200 characters"),
        ("[record]\npre_roll_s = 5.0\nmax_clip_s = 5.0\n" + CAMERA, r":1: record: max_clip_s 5\.0 is not above pre"),
        (ACTION + ACTION + CAMERA, r":1: decide\.action: duplicate action name 'fall'; each"),
        (
            ACTION + ACTION.replace("fall", "run") + "labels = ['x', 'fall']\n" + CAMERA,
            r"label 'fall' belongs to two actions; assign it",
        ),
        ("[broker]\nprotocol = '4'\n" + CAMERA, r":2: broker\.protocol = '4': should be '5' or '3\.1\.1'"),
        ("[broker]\nurl = 'http://x'\n" + CAMERA, r":2: broker\.url = 'http://x': allowed: mqtt://HOST"),
        ("[broker]\nurl = 'mqtt://x:99999'\n" + CAMERA, r":2: broker\.url = .*the port is a number"),
        ("[broker]\nurl = 'mqtt://a..b'\n" + CAMERA, r":2: broker\.url = .*'a\.\.b' is not a valid host name"),
        ("[broker]\npassword_file = 'u'\n" + CAMERA, r":1: broker: password_file needs a username"),
        (CAMERA + "max_gap_s = 0.0\n", r":4: camera\[0\]\.max_gap_s = 0\.0: should be greater than 0"),
        ("x = " + "[" * 5000 + "\n" + CAMERA, r"site\.toml: invalid TOML"),
        ("[broker]\nbase = 'a/#'\n" + CAMERA, r":2: broker\.base = 'a/#': a topic without"),
        ("[home_assistant]\nprefix = 'a/'\n" + CAMERA, r":2: home_assistant\.prefix = 'a/': a topic without"),
        ("[home_assistant]\ndiscovery = 'on'\n" + CAMERA, r":2: home_assistant\.discovery = 'on': should be 'off', "),
        (CAMERA + CAMERA, r":1: camera: duplicate camera name 'a'; each camera needs"),
        (
            CAMERA + '\n[[camera]]\nsource = "b"\nname = "b/c"\n',
            r":7: camera\[1\]\.name = 'b/c': allowed: up to 64 letters, digits",
        ),
        ('[[camera]]\nname = "a"\n', r":1: camera\[0\]\.source: required key is missing"),
        ("[decide]\n", r"camera: required key is missing"),
        ('[camera]\nname = "a"\n', r":1: camera: write \[\[camera\]\], with two brackets"),
        ("[[broker]]\n" + CAMERA, r":1: broker: should be a table: \[name\], with single brackets"),
        ("[broker]\nurl = 'mqtt://me:secret@x'\n" + CAMERA, r":2: broker\.url = 'mqtt://\*\*\*@x': allowed"),
        ("[broker]\nurl = 'mqtt://u:my secret@h'\n" + CAMERA, r":2: broker\.url = 'mqtt://\*\*\*@h': allowed"),
        (
            CAMERA.replace("a.mp4", "rtps://u:sec@ret@h"),
            r":3: .*source = 'rtps://\*\*\*@h': unknown kind .*allowed: .*rtsp",
        ),
        (CAMERA.replace("a.mp4", "rtsp:///x"), r":3: camera\[0\]\.source = 'rtsp:///x': no host after rtsp://"),
        ("camera = []\n", r":1: camera: write \[\[camera\]\]"),
        ("[decide\n", r"site\.toml: invalid TOML: .*line 1"),
    ],
)
def test_an_error_names_file_line_key_value_and_what_is_allowed(text: str, message: str, tmp_path: Path) -> None:
    assert re.search(message, error_of(tmp_path, text)), error_of(tmp_path, text)


def test_all_errors_are_reported_at_once(tmp_path: Path) -> None:
    message = error_of(tmp_path, "[decide]\nsmoothing_s = -1\nupdate_rise = 2.0\n" + CAMERA + "hop = 0\n")
    assert [line.split(":")[1] for line in message.splitlines()] == ["2", "3", "7"]


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: No such file"):
        load(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes(b"host = 'caf\xe9'\n")
    with pytest.raises(ConfigError, match=r"latin\.toml: not UTF-8"):
        load(tmp_path / "latin.toml")
    (tmp_path / "wide.toml").write_text("host = 'a'\n", encoding="utf-16")
    with pytest.raises(ConfigError, match=r"wide\.toml: UTF-16, not UTF-8; save the file as UTF-8"):
        load(tmp_path / "wide.toml")


def test_a_configuration_is_frozen(tmp_path: Path) -> None:
    config = load(write_text(tmp_path, CAMERA))
    with pytest.raises(ValueError, match="frozen"):
        config.decide.smoothing_s = 9  # type: ignore[misc]


def test_the_topic_prefix_is_the_host_unless_base_is_set(tmp_path: Path) -> None:
    assert load(write_text(tmp_path, 'host = "barn"\n' + CAMERA)).base_topic == "edge-tdn/barn"
    assert load(write_text(tmp_path, "[broker]\nbase = 'farm/x'\n" + CAMERA)).base_topic == "farm/x"


TOML_VALUES = st.one_of(st.booleans(), st.integers(-(2**62), 2**62), st.floats(), st.text(max_size=20))
KEYS = [key for table in (*TABLES.values(), CameraConfig) for key in table.model_fields]


@given(
    st.dictionaries(
        st.sampled_from([*TABLES, "host", "camera", "x"]),
        st.one_of(
            TOML_VALUES,
            st.dictionaries(st.sampled_from(KEYS), TOML_VALUES),
            st.lists(st.dictionaries(st.sampled_from(KEYS), TOML_VALUES), max_size=2),
        ),
    )
)
def test_any_content_is_a_configuration_or_a_config_error(content: dict[str, object]) -> None:
    lines = []
    for name, value in content.items():
        for header, table in _tables(name, value):
            lines.append(header)
            lines += [f"{key} = {_toml(item)}" for key, item in table.items()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "site.toml"
        path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
        try:
            load(path)
        except ConfigError as error:
            assert str(path) in str(error)  # noqa: PT017  (both outcomes are correct)


def _tables(name: str, value: object) -> list[tuple[str, dict[str, object]]]:
    if isinstance(value, dict):
        return [(f"[{name}]", value)]
    if isinstance(value, list):
        return [(f"[[{name}]]", table) for table in value]
    return [("", {name: value})]


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(c):08X}" for c in value) + '"'
    return repr(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[record]\n[decide]\n[record]\n", "line 3: the table [record] exists already (line 1): write its keys there"),
        ("[a]\n[a.b]\n\n [a.b] # again\n", "line 4: the table [a.b] exists already (line 2): write its keys there"),
        ("[[camera]]\n[camera]\n", "line 2: [camera] has two brackets in line 1: write [[camera]]"),
        ("[x]\nhop = 1\n[decide]\nhop = 2\nhop = 3\n", "line 5: the key hop exists already (line 4): keep one of them"),
        ("hop = 1\nhop = 2", "line 2: the key hop exists already (line 1): keep one of them"),
        ("a.b = 1\n[a]\nb = 2", "invalid TOML: Cannot declare ('a',) twice (at line 2, column 3)"),
        ("[a]\nx = 1\n[a.x]\n", "invalid TOML: Cannot overwrite a value (at line 3, column 5)"),
        ("[a\n", "invalid TOML: Expected ']' at the end of a table declaration (at line 1, column 3)"),
    ],
)
def test_a_table_or_a_key_that_exists_already_names_both_lines(text: str, message: str, tmp_path: Path) -> None:
    assert error_of(tmp_path, text) == f"{tmp_path}/site.toml: {message}"
