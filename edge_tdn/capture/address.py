"""The address of a source: its kind, its user and password, and what may be shown of it."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from edge_tdn.capture.content import HEAD_BYTES, not_video
from edge_tdn.config.checks import NETWORK_SCHEMES
from edge_tdn.config.credentials import camera_access
from edge_tdn.config.tables import CREDENTIAL, CameraConfig
from edge_tdn.demo.demo_scenes import DEMO, scene_path
from edge_tdn.errors import ConfigError, SourceError
from edge_tdn.process.passwords import hide, hide_in, without_password

URLS = tuple(f"{scheme}://" for scheme in NETWORK_SCHEMES)
PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}


@dataclass(frozen=True)
class Address:
    """The address that a capture opens. User and password are kept apart from the location, which is logged."""

    location: str = field(repr=False)  # URL without user and password, path of a file or device, or gst: PIPELINE
    shown: str  # the location as it may be shown and logged
    username: str = ""
    password: str = field(default="", repr=False)
    ca: Path | None = None  # PEM: whom to trust; None: the system's authorities

    @property
    def live(self) -> bool:
        return is_live(self.location)

    @property
    def with_password(self) -> str:
        """The URL as FFmpeg takes it. Must not be shown."""
        if not self.username:
            return self.location
        user = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}"
        return self.location.replace("://", f"://{user}@", 1)

    def message(self, text: str) -> str:
        """Return an error message about this address, as it may be shown and logged."""
        return without_password(f"{self.shown}: {text.replace(self.location, self.shown)}")


def find(camera: CameraConfig, base: Path) -> Address:
    """Return a camera's address, with its password. Raises SourceError if a file is missing, or is not a video."""
    try:
        access = camera_access(camera, base)
    except ConfigError as error:
        raise SourceError(str(error), "unreachable") from error
    hide_in(access.source)
    hide(access.password, camera.username)
    source, shown = access.source, without_password(camera.source)
    if not source.startswith(URLS):
        location = locate(source, base)
        return Address(location, without_password(location))
    location, name, password = split_user(source)
    if camera.username:
        return Address(location, shown, camera.username, access.password, access.ca)
    return Address(location, shown, name, password, access.ca)


def split_user(url: str) -> tuple[str, str, str]:
    """Return a URL without its user and password, and these."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    return urlunsplit(parts._replace(netloc=host)), unquote(name), unquote(password)


def is_live(source: str) -> bool:
    """Return True for a camera's address, False for a file's."""
    return source.startswith((*URLS, CREDENTIAL, "/dev/", "gst:"))


def locate(source: str, base: Path) -> str:
    """Return a file's absolute path (a relative one begins at `base`), or a live source as it is.

    Raises SourceError if the file does not exist, cannot be read, or is not a video, or a scene is unknown.
    """
    if is_live(source):
        return source
    if source.startswith(DEMO):
        return str(scene_path(source))
    path = Path(source.removeprefix("file://"))
    try:
        path = base / path.expanduser()
        if path.is_dir():
            raise SourceError(f"{path}: a folder, not a video")
        if path.exists() and not path.is_file():
            raise SourceError(f"{path}: not a regular file")
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except (OSError, ValueError, RuntimeError) as error:  # an unknown user's home, a name with a NUL
        raise SourceError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if not head:
        raise SourceError(f"{path}: the file is empty")
    what = not_video(head)
    if what:
        raise SourceError(f"{path}: {what}")
    return str(path)
