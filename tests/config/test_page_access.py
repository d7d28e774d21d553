"""The files that [web] names: its token, its certificate."""

from pathlib import Path

import pytest

from edge_tdn.config.credentials import page_access
from edge_tdn.config.load import parse
from edge_tdn.config.tables import Config
from edge_tdn.errors import ConfigError
from tests.support.authority import Authority, self_signed


def config(**web: object) -> Config:
    return parse({"camera": [{"name": "a", "source": "demo:people"}], "web": {"port": 8765, **web}}, "site.toml")


def test_without_files_there_is_no_token_and_no_tls(tmp_path: Path) -> None:
    access = page_access(config(), tmp_path)
    assert (access.token, access.tls) == ("", None)


def test_a_token_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0123456789abcdef\r\nmore\n")
    access = page_access(config(token_file="token"), tmp_path)
    assert access.token == "0123456789abcdef"
    assert access.token not in repr(access)


@pytest.mark.parametrize(
    "token", ["0123456789abcde", "x" * 201, "sixteen letters and spaces", "sixteen\tletters.", "ä" * 20]
)
def test_another_token_is_refused_and_not_shown(tmp_path: Path, token: str) -> None:
    (tmp_path / "token").write_text(token)
    with pytest.raises(ConfigError, match=r"web\.token_file.*16 to 200") as raised:
        page_access(config(token_file="token"), tmp_path)
    assert token not in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for key in ("token_file", "cert_file"):
        with pytest.raises(ConfigError, match=rf"web\.{key}.*no such file"):
            page_access(config(**{key: "missing"}), tmp_path)


def test_a_certificate_and_its_key_are_loaded(tmp_path: Path) -> None:
    """From two files, or from one."""
    one = Authority(tmp_path, "authority").issue("page")
    both = tmp_path / "both.pem"
    both.write_bytes(one.cert.read_bytes() + one.key.read_bytes())
    assert page_access(config(cert_file=one.cert.name, key_file=one.key.name), tmp_path).tls
    assert page_access(config(cert_file="both.pem"), tmp_path).tls


def test_a_certificate_with_another_key_is_refused(tmp_path: Path) -> None:
    first, second = self_signed(tmp_path, "first"), self_signed(tmp_path, "second")
    with pytest.raises(ConfigError, match=r"web\.cert_file.*certificate and its key in PEM"):
        page_access(config(cert_file=first.cert.name, key_file=second.key.name), tmp_path)
    with pytest.raises(ConfigError, match=r"web\.cert_file.*certificate and its key in PEM"):
        page_access(config(cert_file=first.cert.name), tmp_path)
