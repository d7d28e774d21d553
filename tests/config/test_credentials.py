"""The credentials of a broker come from files. Those of cameras: tests/capture/test_address.py."""

from pathlib import Path

import pytest

from edge_tdn.config.credentials import Access, broker_access, camera_access
from edge_tdn.config.load import load
from edge_tdn.config.tables import BrokerConfig, CameraConfig
from edge_tdn.errors import ConfigError


def test_the_password_of_the_broker_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\nrest\n")
    assert broker_access(BrokerConfig(username="u", password_file="secret"), tmp_path).password == "hunter2"


@pytest.mark.parametrize(
    "source", ["RTSP://cam.lan/Live", "Https://CAM.lan/a?B=C", "FILE:///a/B.mp4", "GST:videotestsrc"]
)
def test_the_scheme_of_a_source_may_be_in_capitals(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every key that takes a source, and in a credential; the rest of it keeps its case."""
    scheme, _, rest = source.partition(":")
    camera = CameraConfig(name="a", source=source, record_source=source)
    assert camera.source == camera.record_source == f"{scheme.lower()}:{rest}"
    if not source.startswith(("FILE", "GST")):
        (tmp_path / "address").write_text(f"{source}\n")
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
        named = CameraConfig(name="a", source="CREDENTIAL:address")
        assert camera_access(named, tmp_path).source == camera.source


def test_a_path_keeps_its_case() -> None:
    for source in ("Videos/A.mp4", "/dev/video0", "C:/Videos/A.mp4"):
        assert CameraConfig(name="a", source=source).source == source


def test_a_broker_without_credentials_has_empty_access(tmp_path: Path) -> None:
    assert broker_access(BrokerConfig(), tmp_path) == Access()


@pytest.mark.parametrize(("name", "reason"), [("empty", "is empty"), ("absent", "cannot be read: no such file")])
def test_an_empty_or_missing_password_file_is_an_error_with_line_and_key(
    name: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").write_text("")
    path = tmp_path / "site.toml"
    path.write_text(f"[broker]\nusername = 'u'\npassword_file = '{name}'\n[[camera]]\nname = 'a'\nsource = 'a.mp4'\n")
    config = load(path)
    with pytest.raises(ConfigError, match=rf"site\.toml:3: broker\.password_file = '{name}': .*/{name} {reason}"):
        broker_access(config.broker, tmp_path)
