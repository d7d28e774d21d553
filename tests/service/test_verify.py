"""What `edge-tdn check` looks at on this machine for the page."""

from pathlib import Path

import pytest

from edge_tdn.config.load import load
from edge_tdn.errors import ConfigError
from edge_tdn.service.verify import verify
from tests.support.site import write_site

CAMERA = 'name = "door"\nsource = "demo:"\n'


def checked(tmp_path: Path, web: str) -> None:
    path = write_site(tmp_path, "mqtt://127.0.0.1", CAMERA, extra=f"[web]\n{web}")
    verify(load(path), path)


@pytest.mark.parametrize("key", ["token_file", "cert_file"])
def test_a_missing_file_of_the_page_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"site\.toml:\d+: web\.{key} = 'gone': "):
        checked(tmp_path, f'port = 8765\n{key} = "gone"')


def test_nothing_is_looked_at_while_the_page_is_off(tmp_path: Path) -> None:
    checked(tmp_path, 'token_file = "gone"')
    (tmp_path / "token").write_text("correct-horse-battery-staple\n")
    checked(tmp_path, 'port = 8765\ntoken_file = "token"')
