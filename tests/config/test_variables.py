"""Environment variables in a configuration: their replacement, the types of keys, errors, and secrets."""

import re
from pathlib import Path

import pytest

from edge_tdn.config.load import load
from edge_tdn.config.tables import Config
from edge_tdn.process import passwords
from tests.support.site import error_of, write_text

CAMERA = '[[camera]]\nname = "a"\nsource = "a.mp4"\n'


@pytest.fixture(autouse=True)
def _own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SITE", "EDGE_BROKER"):
        monkeypatch.delenv(name, raising=False)


def loaded(tmp_path: Path, text: str) -> Config:
    return load(write_text(tmp_path, text))


def test_variables_are_replaced_anywhere_in_a_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE", "barn")
    monkeypatch.setenv("EMPTY", "")
    text = (
        'host = "${SITE}"\n[broker]\nurl = "mqtt://${SITE}.${DOMAIN:-lan}:1883"\nbase = "farm/${SITE}/$SITE/$${SITE}"\n'
        'username = "${EMPTY}"\n[decide]\nonly = ["${EMPTY:-up}", "${SITE}s"]\n'
        '[[camera]]\nname = "${SITE}-1"\nsource = "a.mp4"\n'
    )
    config = loaded(tmp_path, text)
    assert (config.host, config.broker.url, config.camera[0].name) == ("barn", "mqtt://barn.lan:1883", "barn-1")
    assert config.broker.base == "farm/barn/$SITE/${SITE}"
    assert (config.broker.username, config.decide.only) == ("", ("up", "barns"))


def test_a_key_that_takes_a_number_or_a_truth_value_gets_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PORT", "9464"), ("ENTER", "0.75"), ("MANY", "true"), ("TURN", "90"), ("VERSION", "5")):
        monkeypatch.setenv(name, value)
    config = loaded(
        tmp_path,
        '[broker]\nprotocol = "${VERSION}"\n[metrics]\nport = "${PORT}"\n[decide]\nenter_threshold = "${ENTER}"\n'
        f'several = "${{MANY}}"\n{CAMERA}rotate = "${{TURN}}"\n',
    )
    assert (config.metrics.port, config.decide.enter_threshold, config.decide.several) == (9464, 0.75, True)
    assert (config.camera[0].rotate, config.broker.protocol) == (90, "5")


def test_a_variable_that_is_not_set_is_an_error_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_BROKERS", "x")
    message = error_of(tmp_path, 'host = "${SITE}"\n[broker]\nurl = "mqtt://${EDGE_BROKER}"\n' + CAMERA)
    first, second = message.splitlines()
    place = f"{tmp_path}/site.toml"
    assert first.startswith(f"{place}:1: host = '${{SITE}}': the environment variable SITE is not set; ")
    assert "(for the service in /etc/default/edge-tdn; set there after the start: systemctl restart" in first
    assert "or write ${SITE:-DEFAULT}" in first
    assert re.match(rf"{place}:3: broker\.url = .* EDGE_BROKER is not set; did you mean 'EDGE_BROKERS'\?", second)


@pytest.mark.parametrize("value", ["${}", "${A B}", "${1A}", "${SITE", "${SITE:x}", "${SITE-x}"])
def test_an_invalid_reference_is_refused(value: str, tmp_path: Path) -> None:
    allowed = "allowed: ${NAME}, or ${NAME:-DEFAULT}; a literal ${ is written $${"
    assert error_of(tmp_path, f'host = "{value}"\n{CAMERA}') == f"{tmp_path}/site.toml:1: host = '{value}': {allowed}"


@pytest.mark.parametrize("content", ["many", "", "[1]", "1\n2", '"9464"'])
def test_a_value_that_the_key_does_not_allow_is_refused_with_the_variable(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", content)
    message = error_of(tmp_path, f'[metrics]\nport = "${{PORT}}"\n{CAMERA}')
    assert re.match(rf"{tmp_path}/site\.toml:2: metrics\.port.*: should be a valid integer", message)
    if content != "[1]":
        assert "(from '${PORT}')" in message


def test_a_secret_is_hidden_from_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMERA_PASSWORD", "hunter22")
    source = CAMERA.replace("a.mp4", "rtsp://me:${CAMERA_PASSWORD}@cam/1")
    assert loaded(tmp_path, source).camera[0].source == "rtsp://me:hunter22@cam/1"
    message = error_of(tmp_path, source + "hop = 0\n" + CAMERA.replace("a.mp4", "rtps://me:${CAMERA_PASSWORD}@cam"))
    assert "rtps://***@cam" in message
    assert "hunter22" not in message
    assert passwords.without_password("the log has hunter22 in it") == "the log has *** in it"
