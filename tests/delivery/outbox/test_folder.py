"""The outbox's folder and its lock."""

import os
from pathlib import Path

import pytest

from edge_tdn.delivery.outbox.folder import outbox_folder
from edge_tdn.errors import ConfigError
from tests.support.outbox import open_outbox


def test_two_daemons_cannot_share_an_outbox(tmp_path: Path) -> None:
    first = open_outbox(tmp_path)
    with pytest.raises(ConfigError, match="another edge-tdn keeps its events there; give this one another `host`"):
        open_outbox(tmp_path)
    first.close()
    open_outbox(tmp_path).close()


def test_file_in_place_of_the_folder_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file: outbox\.folder is not a folder"):
        open_outbox(tmp_path / "file")
    with pytest.raises(ConfigError, match=r"outbox\.folder is not a folder"):
        open_outbox(tmp_path / "file" / "below")


def test_folder_follows_the_configuration_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/edge-tdn:/other")
    assert outbox_folder("auto", "barn", tmp_path) == Path("/var/lib/edge-tdn/barn")
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert outbox_folder("auto", "barn", tmp_path) == tmp_path / "edge-tdn" / "barn"
    assert outbox_folder("events", "barn", tmp_path) == tmp_path / "events"
    assert outbox_folder("off", "barn", tmp_path) is None


def test_systemds_folder_needs_no_user_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A dynamic user has no entry where libnss-systemd is not installed, as in a minimal Debian."""
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/edge-tdn")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 64018)
    with pytest.raises(RuntimeError, match="home directory"):
        Path.home()
    assert outbox_folder("auto", "barn", tmp_path) == Path("/var/lib/edge-tdn/barn")
