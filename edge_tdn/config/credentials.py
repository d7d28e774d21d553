"""Passwords, certificates and credential files that [broker], [[camera]] and [web] refer to.

A key names a file, relative to the configuration, or `credential:NAME`: a credential that systemd loads for the service
(LoadCredential=) into $CREDENTIALS_DIRECTORY. Every password that is read is hidden from logs and errors.
"""

import os
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from edge_tdn.config.checks import check_camera_url, check_camera_user, normal_source
from edge_tdn.config.fault import Keys
from edge_tdn.config.tables import CREDENTIAL, BrokerConfig, CameraConfig, Config
from edge_tdn.config.tls import CAMERA, renew, server_context, trust
from edge_tdn.errors import ConfigError
from edge_tdn.permission import SECRET_REMEDY, remedy
from edge_tdn.process.passwords import hide
from edge_tdn.text_file import first_line

PUBLIC = ("ca_file", "cert_file")  # keys of files that every user may read
TOKEN = re.compile(r"[!-~]{16,200}")  # of the page

Result = TypeVar("Result")


class _Table(Protocol):
    """A table that can describe a fault in it."""

    def fault(self, keys: Keys, value: object, message: str) -> str: ...


@dataclass(frozen=True)
class Access:
    """The credentials for a broker. PEM files; None: no password, the system's authorities, no client certificate."""

    password: str | None = field(default=None, repr=False)
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None  # None: the key is in `cert`


@dataclass(frozen=True)
class CameraAccess:
    """The URL of a camera, the password for it, and whom to trust."""

    source: str = field(repr=False)  # from the configuration or the credential
    password: str = field(default="", repr=False)
    ca: Path | None = None  # None: the system's authorities


@dataclass(frozen=True)
class PageAccess:
    """The credentials of the page: its token, empty if none is configured, and TLS, None without a certificate."""

    token: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None


def broker_access(config: BrokerConfig, base: Path) -> Access:
    """Read the files named in [broker]. `base` is the folder of relative paths. Raises ConfigError."""

    def file(key: str) -> Path | None:
        name = getattr(config, key)
        return _existing(config, ["broker", key], name, base) if name else None

    keys = ["broker", "password_file"]
    password = _first_line(config, keys, config.password_file, base) if config.password_file else None
    return Access(password, file("ca_file"), file("cert_file"), file("key_file"))


def page_access(config: Config, base: Path) -> PageAccess:
    """Read the files named in [web]. `base` is the folder of relative paths. Raises ConfigError."""
    web, token = config.web, ""
    if web.token_file:
        keys = ["web", "token_file"]
        token = _first_line(config, keys, web.token_file, base)
        if not TOKEN.fullmatch(token):
            allowed = (
                "allowed: 16 to 200 letters, digits and signs, without spaces, such as `openssl rand -hex 24` makes"
            )
            raise ConfigError(config.fault(keys, web.token_file, f"its first line is not a token; {allowed}"))
    return PageAccess(token, _with_certificate(config, base, server_context) if web.cert_file else None)


def renew_certificate(context: ssl.SSLContext, config: Config, base: Path) -> None:
    """Read the certificate named in [web] again, for the connections to come. Raises ConfigError; it stays then."""
    _with_certificate(config, base, lambda cert, key: renew(context, cert, key))


def _with_certificate(config: Config, base: Path, use: Callable[[Path, Path | None], Result]) -> Result:
    """Return what `use` makes of the files of the certificate and its key. Raises ConfigError."""
    web = config.web
    cert = _existing(config, ["web", "cert_file"], web.cert_file, base)
    key = _existing(config, ["web", "key_file"], web.key_file, base) if web.key_file else None
    try:
        return use(cert, key)
    except ConfigError as error:
        raise ConfigError(config.fault(["web", "cert_file"], web.cert_file, str(error))) from error


def camera_access(camera: CameraConfig, base: Path) -> CameraAccess:
    """Read the files named in a [[camera]]. `base` is the folder of relative paths. Raises ConfigError."""
    return _camera_access(camera, base, camera, [], "source")


def check_camera_access(config: Config, base: Path) -> None:
    """Raise ConfigError if a file named in a [[camera]] cannot be read."""
    for number, camera in enumerate(config.camera):
        _camera_access(camera, base, config, ["camera", number], "source")
        if camera.record_source:
            _camera_access(camera.recorded, base, config, ["camera", number], "record_source")


def _camera_access(camera: CameraConfig, base: Path, table: _Table, keys: Keys, key: str) -> CameraAccess:
    """`keys` leads to the camera's table; `key` is the one that holds its source."""
    source, password = camera.source, ""
    if source.startswith(CREDENTIAL):
        source = normal_source(_first_line(table, [*keys, key], source, base))
        try:
            check_camera_url(source)
            check_camera_user(source, camera.username)
        except ValueError as error:
            raise ConfigError(table.fault([*keys, key], camera.source, f"its first line: {error}")) from None
    if camera.password_file:
        password = _first_line(table, [*keys, "password_file"], camera.password_file, base)
    return CameraAccess(source, password, _authorities(camera, base, table, keys) if camera.ca_file else None)


def _authorities(camera: CameraConfig, base: Path, table: _Table, keys: Keys) -> Path:
    ca = _existing(table, [*keys, "ca_file"], camera.ca_file, base)
    try:
        trust(ca, CAMERA)
    except ConfigError as error:
        raise ConfigError(table.fault([*keys, "ca_file"], camera.ca_file, str(error))) from error
    return ca


def _existing(table: _Table, keys: Keys, name: str, base: Path) -> Path:
    """Return the path of a file, or of a systemd credential."""
    credential = name.removeprefix(CREDENTIAL)
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if credential != name and not folder:
        raise ConfigError(
            table.fault(keys, name, "no $CREDENTIALS_DIRECTORY; systemd sets it for a service with LoadCredential=")
        )
    path = Path(folder) / credential if credential != name else base / name
    if reason := _unreadable(path, "" if keys[-1] in PUBLIC else SECRET_REMEDY):
        raise ConfigError(table.fault(keys, name, f"{path} {reason}"))
    return path


def _unreadable(path: Path, what_to_do: str) -> str:
    """Return why a file cannot be read, empty if it can. `what_to_do`: where permission is missing; empty: copy it."""
    try:
        if not path.exists():
            return "cannot be read: no such file"
        if not path.is_file():
            return "is not a regular file"
        path.open("rb").close()
    except PermissionError as error:
        return f"cannot be read: {error.strerror}; {what_to_do or remedy(path)}"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return ""


def _first_line(table: _Table, keys: Keys, name: str, base: Path) -> str:
    path = _existing(table, keys, name, base)
    try:
        password = first_line(path.read_bytes())
    except OSError as error:
        raise ConfigError(table.fault(keys, name, f"{path} cannot be read: {error.strerror}")) from error
    except ValueError as error:
        raise ConfigError(table.fault(keys, name, f"{path} is {error}")) from error
    hide(password)
    return password
