"""The site configuration: one TOML file. Frozen and complete; a fault is told with file, line, key and value.

configs/reference.toml shows every key; a test compares it with this file.
"""

import os
import re
import socket
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails

from edge_tdn.errors import ConfigError
from edge_tdn.process.passwords import hide
from edge_tdn.spelling import nearest

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]  # safe inside a topic
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]


PORTS = {"mqtt": 1883, "mqtts": 8883}
NETWORK = ("rtsp", "rtsps", "http", "https")
SCHEMES = (*NETWORK, "file")
ROUNDING = 1e-6  # 0.9 + 0.1 is 1
CREDENTIAL = "credential:"  # before the name of one that systemd loads, in place of a file's name
SENTENCES = {
    "string_pattern_mismatch": "letters, digits, dot, dash and underscore, at most 64, a letter or digit first",
    "model_type": "should be a table: [name], with single brackets",
    "tuple_type": "should be a list: [...]",
    "string_too_short": "must not be empty",
}


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    _origin: tuple[str, str] = ("configuration", "")  # its file and what stands there

    def fault(self, keys: list[str | int], value: object, message: str) -> str:
        """What only the model or the machine shows to be wrong, told as `load` tells its faults."""
        return _explain(*self._origin, {"loc": keys, "type": "", "input": value, "msg": message})


def _topic(topic: str) -> str:
    if re.search(r"[+#\x00-\x1f]|^/|/$|^\$|^\s+$", topic) or len(topic) > 200:
        raise ValueError("a topic without + # or control characters, not beginning or ending with /")
    return topic


class BrokerConfig(_Table):
    """[broker]: where events go."""

    url: str = Field(
        default="mqtt://localhost:1883",
        description="mqtt://HOST[:PORT], or mqtts:// for TLS; the port defaults to 1883, or 8883",
    )
    protocol: Literal["5", "3.1.1"] = Field(default="5", description='MQTT version; "3.1.1" for old brokers')
    username: str = Field(default="", description="empty: anonymous")
    password_file: str = Field(
        default="", description="file whose first line is the password; or credential:NAME, of systemd"
    )
    ca_file: str = Field(
        default="", description="PEM: who may have signed the broker's certificate; empty: the system's"
    )
    cert_file: str = Field(default="", description="PEM: our own certificate, where the broker wants one")
    key_file: str = Field(default="", description="PEM: its key; or credential:NAME; empty: in cert_file too")
    base: str = Field(default="", description="first part of every topic; empty: edge-tdn/<host>")
    keepalive_s: int = Field(default=10, ge=2, le=3600, description="seconds; a dead broker is noticed within two")
    scores: bool = Field(default=False, description="also publish the best labels of every clip, QoS 0")

    @field_validator("url")
    @classmethod
    def _url(cls, url: str) -> str:
        parts = urlsplit(url)
        known = parts.scheme in PORTS and parts.hostname
        if not known or parts.path or parts.username or parts.query or " " in url:
            raise ValueError(
                "allowed: mqtt://HOST[:PORT] or mqtts://HOST[:PORT]; user and password have their own keys"
            )
        try:
            str(parts.hostname).encode("idna")
        except UnicodeError:
            raise ValueError(f"{parts.hostname!r} is no host name") from None
        try:
            port = parts.port
        except ValueError:
            port = 0
        if port == 0:
            raise ValueError("the port is a number from 1 to 65535")
        return url

    @field_validator("base")
    @classmethod
    def _base(cls, base: str) -> str:
        return _topic(base)

    @model_validator(mode="after")
    def _credentials(self) -> Self:
        if self.password_file and not self.username:
            raise ValueError("password_file needs a username")
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs a cert_file")
        if (self.ca_file or self.cert_file) and not self.tls:
            raise ValueError(f"url = {self.url!r} sends in plain text; ca_file and cert_file need mqtts://")
        return self

    @property
    def tls(self) -> bool:
        return urlsplit(self.url).scheme == "mqtts"

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or PORTS[parts.scheme]


class RuntimeConfig(_Table):
    """[runtime]: which network, where it runs."""

    model: str = Field(
        default="motion", min_length=1, description="a model folder (relative to this file), or a shipped model's name"
    )
    device: str = Field(
        default="auto",
        min_length=1,
        description="CPU, GPU, NPU, CUDA; auto: the first of CUDA, GPU, NPU and CPU that works",
    )
    precision: Literal["fp32", "fp16", "bf16", "int8"] = Field(
        default="fp32", description="one that the model folder has"
    )
    threads: int = Field(default=0, ge=0, le=1024, description="of the device CPU; 0: it chooses")
    cache: str = Field(
        default="auto", min_length=1, description="folder of compiled models; auto: the user's cache; off: none"
    )


class ActionConfig(_Table):
    """[[decide.action]]: what [decide] says, for one action. A limit that is left out is that of [decide]."""

    name: str = Field(min_length=1, description="a label of the model, or a name of your own for `labels`")
    labels: tuple[str, ...] = Field(
        default=(), strict=False, description="of the model, reported under this name, their scores added up; "
        "empty: the label of this name"
    )  # fmt: skip
    enter_threshold: Share | None = Field(default=None, description="an action starts when its score reaches this")
    exit_threshold: Share | None = Field(default=None, description="and ends when it falls below this")
    min_length_s: Seconds | None = Field(default=None, description="seconds that it lasts at least")
    max_length_s: Seconds | None = Field(default=None, description="seconds after which it is ended; 0: never")
    merge_gap_s: Seconds | None = Field(default=None, description="a score that is back within so many seconds goes on")
    cool_down_s: Seconds | None = Field(default=None, description="seconds from its end to its next start, at least")

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        if not name.isprintable() or len(name) > 200:
            raise ValueError("allowed: 1 to 200 characters, none of them a control character")
        if name == "none":
            raise ValueError("stands for no action on <camera>/action; another name is wanted")
        return name

    @field_validator("labels")
    @classmethod
    def _each_once(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        twice = next((label for label in labels if labels.count(label) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice!r} stands there twice; each may stand once")
        return labels


class DecideConfig(_Table):
    """[decide]: from scores to actions."""

    smoothing_clips: int = Field(
        default=3, ge=1, le=100, description="scores are averaged over this many clips; 1: not"
    )
    enter_threshold: Share = Field(default=0.6, description="an action starts when its score reaches this")
    exit_threshold: Share = Field(default=0.4, description="and ends when it falls below this")
    min_length_s: Seconds = Field(
        default=0.5, description="seconds from where the score rose to where its start is told: it lasts that at least"
    )
    max_length_s: Seconds = Field(default=0.0, description="seconds after which an action is ended; 0: never")
    merge_gap_s: Seconds = Field(
        default=0.0, description="an action whose score is back within so many seconds goes on; its end is told later"
    )
    cool_down_s: Seconds = Field(
        default=0.0, description="seconds from an action's end to the next start of the same, at least"
    )
    several: bool = Field(default=False, description="several actions at a time; false: one, the strongest")
    update_rise: Share = Field(default=0.1, description="an update is sent when the peak score rises by this much")
    update_interval_s: Seconds = Field(default=5.0, description="and this often while it goes on, in seconds; 0: never")
    only: tuple[str, ...] = Field(
        default=(), strict=False, description="actions that are reported, by name; empty: all but background labels"
    )
    ignore: tuple[str, ...] = Field(default=(), strict=False, description="actions that are not reported, by name")
    action: tuple[ActionConfig, ...] = Field(default=(), strict=False, description="one table for each exception")

    def of(self, action: ActionConfig) -> Self:
        """The limits of one action."""
        return self.model_copy(update=action.model_dump(exclude={"name", "labels"}, exclude_none=True))

    @model_validator(mode="after")
    def _limits(self) -> Self:
        if said := self._contradiction():
            raise ValueError(said)
        faults: list[InitErrorDetails] = []
        for number, action in enumerate(self.action):
            if said := self.of(action)._contradiction():
                error = ValueError(f"action {action.name!r}: {said}")
                faults.append({"type": "value_error", "loc": ("action", number), "input": {}, "ctx": {"error": error}})
        if faults:
            raise ValidationError.from_exception_data("decide", faults)
        return self

    def _contradiction(self) -> str:
        """What is wrong with the limits; empty: nothing."""
        if self.exit_threshold > self.enter_threshold:
            return (
                f"{self._told('exit_threshold')} is above {self._told('enter_threshold')}; "
                "it must not be, or an action would end as it starts"
            )
        if 0 < self.max_length_s < self.min_length_s:
            return f"{self._told('max_length_s')} is below {self._told('min_length_s')}; it must not be, unless it is 0"
        return ""

    def _told(self, key: str) -> str:
        return f"{key} {getattr(self, key)}{'' if key in self.model_fields_set else ' (its default)'}"

    @field_validator("action")
    @classmethod
    def _each_once(cls, actions: tuple[ActionConfig, ...]) -> tuple[ActionConfig, ...]:
        names = [action.name for action in actions]
        labels = [label for action in actions for label in action.labels or (action.name,)]
        for values, fault in ((names, "two actions are named {!r}"), (labels, "two actions have the label {!r}")):
            twice = next((value for value in values if values.count(value) > 1), None)
            if twice:
                raise ValueError(f"{fault.format(twice)}; each may stand once")
        return actions


class OutboxConfig(_Table):
    """[outbox]: events on disk until the broker has them."""

    folder: str = Field(
        default="auto", min_length=1, description="auto: systemd's or the user's state; off: in memory alone"
    )
    max_mb: float = Field(
        default=64,
        ge=1,
        le=100_000,
        allow_inf_nan=False,
        description="of disk, and up to 6 MB beside it (SQLite's log and the ballast); beyond it the oldest events go",
    )
    max_age_h: float = Field(
        default=168, gt=0, le=87_600, allow_inf_nan=False, description="hours that an event may wait for the broker"
    )
    replayable: int = Field(default=10_000, ge=0, le=1_000_000, description="delivered events that are kept for replay")


class RecordConfig(_Table):
    """[record]: pictures of an action for people."""

    snapshot: bool = Field(default=False, description="publish a JPEG of every action, and save it if folder is set")
    clip: bool = Field(default=False, description="save an MP4 of every action; needs a folder and GStreamer")
    folder: str = Field(default="", description="where files go, relative to this file; empty: none are written")
    max_mb: int = Field(default=1000, ge=1, description="MB of files, of all cameras; the oldest go first")
    pre_roll_s: float = Field(default=3.0, ge=0, le=30, description="seconds of a clip before the action's start")
    post_roll_s: float = Field(default=3.0, ge=0, le=30, description="seconds of a clip after the action's end")
    clip_most_s: float = Field(
        default=60.0, ge=1, le=600, description="seconds; a longer clip ends there; above pre_roll_s"
    )
    memory_mb: int = Field(
        default=80, ge=8, le=4096, description="MB a camera for its last pictures; what does not fit lowers their rate"
    )

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.clip and not self.folder:
            raise ValueError("clip needs a folder to write to")
        if self.clip_most_s <= self.pre_roll_s:
            raise ValueError(
                f"clip_most_s {self.clip_most_s} is not above pre_roll_s {self.pre_roll_s}; "
                "it must be, or a clip would end before its action starts"
            )
        return self

    @property
    def wanted(self) -> bool:
        return self.snapshot or self.clip


class MetricsConfig(_Table):
    """[metrics]: figures for Prometheus."""

    port: int = Field(default=0, ge=0, le=65_535, description="of http://<address>:<port>/metrics; 0: none")
    address: str = Field(
        default="127.0.0.1", min_length=1, description="of this host, where they can be read; 0.0.0.0: from everywhere"
    )

    @property
    def url(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.port}/metrics"


class CameraConfig(_Table):
    """[[camera]]: one camera, file or URL."""

    name: Name = Field(description="letters, digits, dot, dash, underscore; part of the topics")
    source: str = Field(
        min_length=1,
        description="file, rtsp://, http(s)://, /dev/video*, gst: and a pipeline, or credential:NAME that holds a URL",
    )
    loop: bool = Field(default=False, description="start a file again when it ends")
    hop: int = Field(default=1, ge=1, le=64, description="segments from one classified clip to the next")
    max_gap_s: float = Field(
        default=0.5, gt=0, le=5, description="a longer pause between two frames empties the window, seconds"
    )
    motion_gate: bool = Field(default=True, description="a still scene is not computed again")
    decoder: Literal["auto", "gstreamer", "opencv"] = Field(
        default="auto", description="auto: GStreamer, or OpenCV where GStreamer is missing"
    )
    frozen_s: Annotated[float, Field(le=600, allow_inf_nan=False)] = Field(
        default=2.0,
        description="seconds after which a camera that always shows the same picture is frozen; 0: never; at least 1",
    )
    transport: Literal["tcp", "udp"] = Field(
        default="tcp", description="how rtsp:// pictures travel; udp where a camera cannot send them over TCP"
    )
    username: str = Field(default="", description="of rtsp:// and http(s)://; empty: none, or it is in the address")
    password_file: str = Field(
        default="", description="file whose first line is the password; or credential:NAME, of systemd"
    )
    hardware: bool = Field(default=True, description="decode with the graphics hardware where there is some")
    rotate: Literal[0, 90, 180, 270] = Field(default=0, description="degrees that the picture is turned, clockwise")
    region: Annotated[tuple[Share, Share, Share, Share], Field(strict=False)] = Field(
        default=(0.0, 0.0, 1.0, 1.0),
        description="the part of the turned picture that is looked at and recorded: left, top, width and height, in "
        "shares of it",
    )
    record_source: str = Field(
        default="",
        description="the camera's main stream, as `source`; only [record] looks at it; empty: it records `source`",
    )

    @field_validator("frozen_s")
    @classmethod
    def _frozen_s(cls, frozen_s: float) -> float:
        if frozen_s != 0 and frozen_s < 1:
            raise ValueError("allowed: 0, or 1 to 600")
        return frozen_s

    @field_validator("source", "record_source")
    @classmethod
    def _source(cls, source: str) -> str:
        if "://" in source and not source.startswith("gst:"):
            _check_url(source, SCHEMES)
        return source

    @field_validator("region")
    @classmethod
    def _region(cls, region: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        left, top, width, height = region
        if not (width > 0 and height > 0 and max(left + width, top + height) <= 1 + ROUNDING):
            raise ValueError(
                "allowed: [left, top, width, height] from 0 to 1; width and height above 0, left + width and "
                "top + height at most 1"
            )
        return region

    @model_validator(mode="after")
    def _user(self) -> Self:
        if self.password_file and not self.username:
            raise ValueError("password_file needs a username")
        for source in (self.source, self.record_source):
            if source and not source.startswith(CREDENTIAL):
                _check_user(source, self.username)
        return self

    @property
    def recorded(self) -> Self:
        """The main stream as a camera of its own."""
        return self.model_copy(update={"source": self.record_source, "record_source": ""})


def _check_url(source: str, schemes: tuple[str, ...] = NETWORK) -> None:
    """ValueError: what is wrong with an address. It tells no password."""
    scheme, separator, address = source.partition("://")
    kinds = ", ".join(f"{known}://" for known in schemes)
    if not separator:
        raise ValueError(f"no address; allowed: {kinds}")
    if scheme not in schemes:
        others = ", gst: PIPELINE, demo:" if "file" in schemes else ""
        raise ValueError(f"unknown kind of source {scheme}://; allowed: {'a path, ' if others else ''}{kinds}{others}")
    if scheme == "file":
        return
    if not re.match(r"[^/:?]", address.rpartition("@")[2]):
        raise ValueError(f"no host after {scheme}://")
    try:
        port = urlsplit(source).port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("the port is a number from 1 to 65535; in a password, / # and ? are written %2F %23 and %3F")


def _check_user(source: str, username: str) -> None:
    """ValueError: a user's name where none is asked for, or a second one."""
    if not username:
        return
    if not source.startswith(tuple(f"{scheme}://" for scheme in NETWORK)):
        raise ValueError("username is for rtsp:// and http(s)://; this source asks for none")
    if "@" in urlsplit(source).netloc:
        raise ValueError("the address has a user of its own; username and password_file are to stand alone")


class HomeAssistantConfig(_Table):
    """[home_assistant]: whether Home Assistant finds the host and its cameras by itself.

    What was published stays on the broker, retained. When discovery is switched off or changes its form, or a camera
    goes away, a reload (SIGHUP) clears its topics. After a restart delete the device in Home Assistant, which does the
    same; or clear them with empty retained messages.
    """

    discovery: Literal["off", "device", "component"] = Field(
        default="off",
        description="device: a document for each device; component: for each entity, for Home Assistant before 2024.12",
    )
    prefix: str = Field(
        default="homeassistant", min_length=1, description="Home Assistant's discovery prefix: a topic's beginning"
    )

    @field_validator("prefix")
    @classmethod
    def _prefix(cls, prefix: str) -> str:
        return _topic(prefix)


class Config(_Table):
    """The whole file."""

    host: Name = Field(
        default_factory=lambda: host_name(), description="this host in topics and ids; default: its name"
    )
    broker: BrokerConfig = Field(default_factory=BrokerConfig)  # which knows its file, as [record] does
    runtime: RuntimeConfig = RuntimeConfig()
    decide: DecideConfig = DecideConfig()
    outbox: OutboxConfig = OutboxConfig()
    home_assistant: HomeAssistantConfig = HomeAssistantConfig()
    record: RecordConfig = Field(default_factory=RecordConfig)
    metrics: MetricsConfig = MetricsConfig()
    camera: tuple[CameraConfig, ...] = Field(min_length=1, description="one table per camera", strict=False)

    @field_validator("camera")
    @classmethod
    def _unique(cls, cameras: tuple[CameraConfig, ...]) -> tuple[CameraConfig, ...]:
        names = [camera.name for camera in cameras]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"two cameras are named {twice!r}; every camera needs a name of its own")
        return cameras

    @property
    def base_topic(self) -> str:
        return self.broker.base or f"edge-tdn/{self.host}"


def load(path: Path) -> Config:
    """Reads a configuration. ConfigError names file, line, key, value and what is allowed; all faults at once."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        content = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; see configs/reference.toml for a start") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 (byte {error.start})") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    return parse(content, str(path), text)


def parse(content: dict[str, Any], where: str, text: str = "") -> Config:
    """A configuration from its tables. ConfigError: as `load`, with the lines of `text` where it is given."""
    try:
        config = Config.model_validate(content)
        config._origin = config.broker._origin = config.record._origin = (where, text)
        return config
    except ValidationError as error:
        faults = [dict(fault) for fault in error.errors()]
        # a camera that was refused is not also a camera too few
        told = [fault for fault in faults if not (fault["type"] == "too_short" and fault["input"])]
        raise ConfigError("\n".join(_explain(where, text, fault) for fault in told)) from error


@dataclass(frozen=True)
class Access:
    """What a broker wants to see before it lets us in."""

    password: str | None = field(default=None, repr=False)
    ca: Path | None = None  # PEM files; None: the system's authorities, no certificate of our own, key in its file
    cert: Path | None = None
    key: Path | None = None


def broker_access(config: BrokerConfig, base: Path) -> Access:
    """What the files named in [broker] hold; paths begin at `base`. ConfigError: one cannot be read."""

    def file(key: str) -> Path | None:
        name = getattr(config, key)
        return _existing(config, ["broker", key], name, base) if name else None

    at: list[str | int] = ["broker", "password_file"]
    password = _first_line(config, at, config.password_file, base) if config.password_file else None
    return Access(password, file("ca_file"), file("cert_file"), file("key_file"))


@dataclass(frozen=True)
class CameraAccess:
    """Where a camera is, and what it wants to see before it lets us in."""

    source: str = field(repr=False)  # as the configuration or the credential has it
    password: str = field(default="", repr=False)


def camera_access(camera: CameraConfig, base: Path) -> CameraAccess:
    """What the files named in a [[camera]] hold; paths begin at `base`. ConfigError: one cannot be read."""
    return _camera_access(camera, base, camera, [], "source")


def check_camera_access(config: Config, base: Path) -> None:
    """ConfigError: a file named in a [[camera]] cannot be read."""
    for number, camera in enumerate(config.camera):
        _camera_access(camera, base, config, ["camera", number], "source")
        if camera.record_source:
            _camera_access(camera.recorded, base, config, ["camera", number], "record_source")


def _camera_access(camera: CameraConfig, base: Path, table: _Table, keys: list[str | int], key: str) -> CameraAccess:
    """`keys` of the camera's table, and the one that is its source."""
    source, password = camera.source, ""
    if source.startswith(CREDENTIAL):
        source = _first_line(table, [*keys, key], source, base)
        try:
            _check_url(source)
            _check_user(source, camera.username)
        except ValueError as error:
            raise ConfigError(table.fault([*keys, key], camera.source, f"its first line: {error}")) from None
    if camera.password_file:
        password = _first_line(table, [*keys, "password_file"], camera.password_file, base)
    return CameraAccess(source, password)


def _existing(table: _Table, keys: list[str | int], name: str, base: Path) -> Path:
    """A file of the site, or a credential of systemd: `credential:NAME`."""
    credential = name.removeprefix(CREDENTIAL)
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if credential != name and not folder:
        raise ConfigError(table.fault(keys, name, "no $CREDENTIALS_DIRECTORY; systemd makes one"))
    path = Path(folder) / credential if credential != name else base / name
    if not path.exists():
        raise ConfigError(table.fault(keys, name, f"{path} cannot be read: no such file"))
    if not path.is_file():
        raise ConfigError(table.fault(keys, name, f"{path} is no regular file"))
    return path


def _first_line(table: _Table, keys: list[str | int], name: str, base: Path) -> str:
    path = _existing(table, keys, name, base)
    try:
        password = path.read_text(encoding="utf-8").splitlines()[0]
    except IndexError as error:
        raise ConfigError(table.fault(keys, name, f"{path} is empty")) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(table.fault(keys, name, f"{path} cannot be read: {error}")) from error
    hide(password)
    return password


def _explain(file: str, text: str, fault: dict[str, Any]) -> str:
    keys = list(fault["loc"])
    name = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")
    line = f":{line_of(text, keys)}" if text else ""
    where = f"{file}{line}: {name or 'configuration'}"
    if fault["type"] == "extra_forbidden":
        allowed = list(_table(keys[:-1]).model_fields)
        return f"{where}: unknown key; {nearest(str(keys[-1]), allowed)}"
    if fault["type"] == "missing":
        return f"{where}: is missing"
    if keys == ["camera"] and fault["type"] in ("tuple_type", "too_short"):
        return f"{where}: write [[camera]], with two brackets: one table for each camera, and at least one"
    if keys == ["decide", "action"] and fault["type"] == "tuple_type":
        return f"{where}: write [[decide.action]], with two brackets: one table for each action"
    value = fault["input"]
    shown = "" if isinstance(value, dict | list | tuple) else f" = {value!r}"
    message = SENTENCES.get(fault["type"]) or fault["msg"].removeprefix("Value error, ").replace(
        "Input should", "should"
    )
    return re.sub(r"//.*@", "//***@", f"{where}{shown}: {message}")  # no password is echoed


def _table(keys: list[Any]) -> type[BaseModel]:
    tables: dict[str, type[BaseModel]] = {
        "broker": BrokerConfig,
        "runtime": RuntimeConfig,
        "decide": DecideConfig,
        "outbox": OutboxConfig,
        "home_assistant": HomeAssistantConfig,
        "decide.action": ActionConfig,
        "record": RecordConfig,
        "metrics": MetricsConfig,
        "camera": CameraConfig,
    }
    return tables.get(".".join(key for key in keys if isinstance(key, str)), Config)


def line_of(text: str, keys: list[Any]) -> int:
    """The line (from 1) of a key such as ["camera", 1, "name"], or of its table."""
    names = [key for key in keys if isinstance(key, str)]
    key, table = names[-1] if names else "", ".".join(names[:-1])
    last = keys.index(key) if names else 0
    index = next((k for k in keys[:last] if isinstance(k, int)), 0)  # which of several tables of this name
    own = next((k for k in keys[last:] if isinstance(k, int)), 0)  # and where the key is itself a table
    header, seen, best = "", dict[str, int](), 1
    for number, line in enumerate(text.splitlines(), 1):
        found = re.match(r"\s*\[\[?\s*([\w.-]+)\s*\]\]?", line)
        if found:
            header = found[1]
            seen[header] = seen.get(header, -1) + 1
            if (header, seen[header]) in ((table, index), (".".join(names), own)):
                best = number
        elif (header, seen.get(header, 0)) == (table, index) and re.match(rf"\s*\"?{re.escape(key)}\"?\s*=", line):
            return number
    return best


def host_name() -> str:
    """This machine's name, as it may stand in a topic."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname().split(".")[0])[:64]
    return name if re.match("[A-Za-z0-9]", name) else "host"
