"""Without `--config` a command reads the installed configuration, /etc/edge-tdn/site.toml."""

from pathlib import Path

import pytest

from edge_tdn.__main__ import main
from edge_tdn.cli import options
from edge_tdn.cli.chosen_broker import chosen_broker
from edge_tdn.cli.command_line import parser
from edge_tdn.cli.leftovers import chosen_leftovers
from edge_tdn.errors import ConfigError
from edge_tdn.help.parser import arguments_of, command_parsers
from tests.support.command_line import camera_site, parse

CONFIGURED = {
    name: [argument.default for argument in arguments_of(command) if argument.dest == "config"]
    for name, command in command_parsers(parser()).items()
}


def test_commands_that_need_a_configuration_read_the_installed_one() -> None:
    """Those that take a broker from it do so if it exists, and --broker names none."""
    installed = {name for name, defaults in CONFIGURED.items() if defaults == [Path("/etc/edge-tdn/site.toml")]}
    assert installed == {"check", "doctor", "run", "replay"}
    assert {name for name, defaults in CONFIGURED.items() if defaults == [None]} == {
        "status",
        "watch",
        "forget",
        "record",
        "zones",
    }
    assert parse("check", "--config", "site.toml").config == Path("site.toml")


def test_the_installed_configuration_is_read_and_its_errors_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another path stands for /etc, which a test must not change."""
    monkeypatch.setattr(options, "SITE", camera_site(tmp_path, "[decide]\nthreshold = 0.5"))
    assert main(["check"]) == 78
    assert f"{tmp_path}/site.toml:2: decide.threshold: unknown key" in capsys.readouterr().err


def test_a_missing_one_is_reported_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(options, "SITE", tmp_path / "site.toml")
    assert main(["check"]) == 78
    error = capsys.readouterr().err
    assert f"{tmp_path}/site.toml: No such file or directory; name yours with --config" in error
    assert "`edge-tdn reference` prints every key" in error
    assert error.count("\n") == 1


SITE = 'host = "barn"\n[broker]\nurl = "mqtt://broker.lan"\nprotocol = "3.1.1"\n'


def test_the_broker_of_the_installed_configuration_is_taken_unless_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is none, it is the broker of this machine, and all of its hosts."""
    monkeypatch.setattr(options, "SITE", tmp_path / "site.toml")
    for name in ("status", "watch"):
        chosen = chosen_broker(parse(name))
        assert (chosen.config.url, chosen.base) == ("mqtt://localhost:1883", "edge-tdn/+")
    camera_site(tmp_path, SITE)
    for name in ("status", "watch"):
        chosen = chosen_broker(parse(name))
        assert (chosen.config.url, chosen.config.protocol, chosen.base) == (
            "mqtt://broker.lan",
            "3.1.1",
            "edge-tdn/barn",
        )
        assert chosen_broker(parse(name, "--base", "edge-tdn/+")).base == "edge-tdn/+"
        chosen = chosen_broker(parse(name, "--broker", "mqtt://b"))
        assert (chosen.config.url, chosen.base) == ("mqtt://b", "edge-tdn/+")
    broker, leftovers = chosen_leftovers(parse("forget", "attic"))
    assert (broker.config.url, leftovers.base) == ("mqtt://broker.lan", "edge-tdn/attic")


def test_an_installed_configuration_that_cannot_be_used_names_the_way_round_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A credential is the service's alone: root can hand it on. What is named explicitly has no way round."""
    text = f'{SITE}username = "barn"\npassword_file = "credential:mqtt-password"\n'
    monkeypatch.setattr(options, "SITE", camera_site(tmp_path, text))
    with pytest.raises(ConfigError) as raised:
        chosen_broker(parse("status"))
    message = str(raised.value)
    assert f"{tmp_path}/site.toml:6: broker.password_file = 'credential:mqtt-password': no $CREDENTIALS" in message
    assert (
        "-p LoadCredential=mqtt-password:edge-tdn.site.mqtt-password edge-tdn ...`; this file is read unless" in message
    )
    with pytest.raises(ConfigError) as raised:
        chosen_broker(parse("status", "--config", tmp_path / "site.toml"))
    assert "this file is read unless" not in str(raised.value)
    camera_site(tmp_path, "[decide]\nthreshold = 0.5")
    for choose, words in ((chosen_broker, ("watch",)), (chosen_leftovers, ("forget", "attic"))):
        with pytest.raises(ConfigError, match=r"threshold: unknown key; .*; this file is read unless .* --broker URL"):
            choose(parse(*words))
