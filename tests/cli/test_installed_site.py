"""Without `--config` a command reads the installed configuration, /etc/edge-tdn/site.toml."""

from pathlib import Path

import pytest

from edge_tdn.__main__ import main
from edge_tdn.cli import options
from edge_tdn.cli.command_line import parser
from edge_tdn.help.parser import arguments_of, command_parsers
from tests.support.command_line import camera_site, parse

CONFIGURED = {
    name: [argument.default for argument in arguments_of(command) if argument.dest == "config"]
    for name, command in command_parsers(parser()).items()
}


def test_commands_that_need_a_configuration_read_the_installed_one() -> None:
    """Those that take a broker from it instead of --broker do so only on request."""
    installed = {name for name, defaults in CONFIGURED.items() if defaults == [Path("/etc/edge-tdn/site.toml")]}
    assert installed == {"check", "doctor", "run", "replay"}
    assert {name for name, defaults in CONFIGURED.items() if defaults == [None]} == {
        "status",
        "watch",
        "forget",
        "record",
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
