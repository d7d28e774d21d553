"""A certificate authority for tests, made with the `openssl` program."""

import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

SETTINGS = """
[req]
prompt = no
distinguished_name = subject
[subject]
CN = {name}
[ca]
default_ca = authority
[authority]
database = {folder}/{name}.index
new_certs_dir = {folder}
default_md = sha256
policy = any
rand_serial = yes
[any]
commonName = supplied
[authority_extensions]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[extensions]
basicConstraints = CA:FALSE
keyUsage = digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""
LOOPBACK = "IP:127.0.0.1, DNS:localhost"


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, as PEM files."""

    cert: Path  # followed by those of intermediate authorities
    key: Path


class Authority:
    """Signs certificates. Its own is `certificate`. `signed_by`: the authority above, None for a root."""

    def __init__(self, folder: Path, name: str, signed_by: "Authority | None" = None) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed: make test-packages")
        self._folder, self._name, self._above = folder, name, signed_by
        (folder / f"{name}.index").touch()
        if signed_by:
            self.certificate = signed_by.issue(name, extensions="authority_extensions")
        else:
            self.certificate = self_signed(folder, name, "authority_extensions")

    def issue(
        self,
        name: str,
        names: str = LOOPBACK,
        from_days: float = -1,
        to_days: float = 1,
        extensions: str = "extensions",
    ) -> Certificate:
        """Issue a certificate for `names`, valid between two times, in days from now."""
        settings = _settings(self._folder, self._name, name, names)
        request, made = self._folder / f"{name}.csr", _files(self._folder, name)
        _openssl(
            "req", "-new", *_new_key(made.key), "-config", _settings(self._folder, name, name, names), "-out", request
        )
        _openssl(
            "ca",
            "-batch",
            "-notext",
            "-config",
            settings,
            "-extensions",
            extensions,
            "-cert",
            self.certificate.cert,
            "-keyfile",
            self.certificate.key,
            "-in",
            request,
            "-out",
            made.cert,
            "-startdate",
            _moment(from_days),
            "-enddate",
            _moment(to_days),
        )
        if self._above and extensions == "extensions":
            made.cert.write_text(made.cert.read_text() + self.certificate.cert.read_text())
        return made


def self_signed(folder: Path, name: str, extensions: str = "extensions", names: str = LOOPBACK) -> Certificate:
    made = _files(folder, name)
    settings = _settings(folder, name, name, names, without="authorityKeyIdentifier")
    _openssl(
        "req",
        "-x509",
        *_new_key(made.key),
        "-config",
        settings,
        "-extensions",
        extensions,
        "-days",
        "2",
        "-out",
        made.cert,
    )
    return made


def _files(folder: Path, name: str) -> Certificate:
    return Certificate(folder / f"{name}.pem", folder / f"{name}.key")


def _new_key(path: Path) -> list[str | Path]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path]


def _settings(folder: Path, authority: str, name: str, names: str, without: str = "") -> Path:
    path = folder / f"{authority}-{name}.cnf"
    text = SETTINGS.format(folder=folder, name=authority, names=names)
    path.write_text("\n".join(line for line in text.splitlines() if not without or without not in line))
    return path


def _moment(days: float) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days):%Y%m%d%H%M%SZ}"


def _openssl(*arguments: str | Path) -> None:
    result = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert result.returncode == 0, result.stderr
