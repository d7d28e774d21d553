"""The tables of the site configuration, with units, ranges and defaults.

All are frozen and complete; an unknown key, a wrong type or a value out of range is an error. configs/reference.toml
shows every key with its default; a test compares the two.
"""

import re
import socket
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails

from edge_tdn.config import checks
from edge_tdn.config.fault import ConfigFile
from edge_tdn.config.process_tables import LogConfig, MetricsConfig
from edge_tdn.config.record_table import RecordConfig
from edge_tdn.config.table import ConfigTable
from edge_tdn.config.value_types import Hop, Name, Precision, Region, Seconds, Share, SmoothingSeconds, Topic
from edge_tdn.config.web_table import WebConfig
from edge_tdn.config.zone_tables import WHOLE, ZoneConfig, ZoneDecideConfig

CREDENTIAL = "credential:"  # prefix of the name of a systemd credential, used instead of a file name


class BrokerConfig(ConfigTable):
    """[broker]: the MQTT broker that events are published to."""

    url: Annotated[str, AfterValidator(checks.check_broker_url)] = Field(
        default="mqtt://localhost:1883",
        description="mqtt://HOST[:PORT] or mqtts:// for TLS, default ports 1883 and 8883; or for WebSocket "
        "ws://HOST[:PORT][/PATH] or wss://, default ports 80 and 443, default path /mqtt",
    )
    protocol: Literal["5", "3.1.1"] = Field(default="5", description='MQTT version; "3.1.1" for old brokers')
    username: str = Field(default="", description="empty: anonymous")
    password_file: str = Field(
        default="", description="file whose first line is the password; or credential:NAME, loaded by systemd"
    )
    ca_file: str = Field(
        default="", description="PEM: authorities trusted to sign the broker's certificate; empty: the system's"
    )
    cert_file: str = Field(default="", description="PEM: this client's certificate, if the broker requires one")
    key_file: str = Field(default="", description="PEM: its key; or credential:NAME; empty: the key is in cert_file")
    base: Topic = Field(default="", description="prefix of every topic; empty: edge-tdn/<host>")
    keepalive_s: int = Field(
        default=10, ge=2, le=3600, description="seconds; a dead broker is detected within twice that"
    )
    scores: bool = Field(default=False, description="also publish the best labels of every clip, QoS 0")

    @model_validator(mode="after")
    def _credentials(self) -> Self:
        if self.password_file and not self.username:
            raise ValueError("password_file needs a username")
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs a cert_file")
        if (self.ca_file or self.cert_file) and not self.tls:
            raise ValueError(f"url = {self.url!r} sends in plain text; ca_file and cert_file need mqtts:// or wss")
        return self

    @property
    def tls(self) -> bool:
        return urlsplit(self.url).scheme in ("mqtts", "wss")

    @property
    def websocket_path(self) -> str:
        """The path of MQTT over WebSocket; empty for MQTT over TCP."""
        parts = urlsplit(self.url)
        return (parts.path or checks.WEBSOCKET_PATH) if parts.scheme in ("ws", "wss") else ""

    @property
    def address(self) -> tuple[str, int]:
        """Host name and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or checks.BROKER_PORTS[parts.scheme]


class RuntimeConfig(ConfigTable):
    """[runtime]: the network, and the device that computes it."""

    model: str = Field(
        default="motion", min_length=1, description="a model folder (relative to this file), or a shipped model's name"
    )
    device: Annotated[str, AfterValidator(checks.check_device)] = Field(
        default="auto",
        description="CPU, GPU, NPU, CUDA; auto: the first of CUDA, GPU, NPU and CPU that works",
    )
    precision: Precision = Field(default="fp32", description="a precision that the model folder contains")
    threads: int = Field(default=0, ge=0, le=1024, description="processor threads of the device CPU; 0: automatic")
    cache: str = Field(
        default="auto", min_length=1, description="folder of compiled models; auto: the user's cache; off: none"
    )


class ActionConfig(ConfigTable):
    """[[decide.action]]: exceptions from [decide] for one action. A limit that is left out is that of [decide]."""

    name: str = Field(min_length=1, description="a label of the model, or a name of your own for `labels`")
    labels: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="labels of the model that are reported under this name, with their scores added up; empty: the "
        "label of this name",
    )
    enter_threshold: Share | None = Field(default=None, description="score at which the action starts")
    exit_threshold: Share | None = Field(default=None, description="score below which it ends")
    min_length_s: Seconds | None = Field(default=None, description="minimum duration, seconds")
    max_length_s: Seconds | None = Field(default=None, description="maximum duration, seconds; 0: unlimited")
    merge_gap_s: Seconds | None = Field(
        default=None, description="a score that returns within this many seconds continues the action"
    )
    cool_down_s: Seconds | None = Field(default=None, description="minimum seconds from its end to its next start")

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        if not name.isprintable() or len(name) > 200:
            raise ValueError("allowed: 1 to 200 characters, none of them a control character")
        if name == "none":
            raise ValueError("reserved: <camera>/action is none while no action is active; choose another name")
        return name

    @field_validator("labels")
    @classmethod
    def _labels(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        checks.check_distinct(labels, "duplicate label {!r}; list each label once")
        return labels


class DecideConfig(ConfigTable):
    """[decide]: the limits that turn scores into actions."""

    smoothing_s: SmoothingSeconds = Field(
        default=0.8,
        description="seconds of the stream whose clips scores are averaged over; 0: no averaging",
    )
    enter_threshold: Share = Field(default=0.7, description="score at which an action starts")
    exit_threshold: Share = Field(default=0.4, description="score below which it ends")
    min_length_s: Seconds = Field(
        default=0.4, description="seconds that a score must stay up before its start is published; minimum duration"
    )
    max_length_s: Seconds = Field(default=0.0, description="seconds after which an action is ended; 0: never")
    merge_gap_s: Seconds = Field(
        default=2.0,
        description="a score that returns within this many seconds continues the action; its end is published later",
    )
    cool_down_s: Seconds = Field(
        default=60.0, description="minimum seconds from an action's end to the next start of the same action"
    )
    several: bool = Field(default=False, description="several actions at a time; false: only the strongest")
    update_rise: Share = Field(default=0.1, description="rise of the peak score after which an update is published")
    update_interval_s: Seconds = Field(
        default=5.0, description="seconds between updates while an action is active; 0: none"
    )
    only: tuple[str, ...] = Field(
        default=(), strict=False, description="actions that are reported, by name; empty: all but background labels"
    )
    ignore: tuple[str, ...] = Field(default=(), strict=False, description="actions that are not reported, by name")
    action: tuple[ActionConfig, ...] = Field(default=(), strict=False, description="one table for each exception")

    def of(self, action: ActionConfig) -> Self:
        """Return the limits of one action."""
        return self.model_copy(update=action.model_dump(exclude={"name", "labels"}, exclude_none=True))

    def within(self, zone: ZoneDecideConfig) -> Self:
        """Return the limits of one zone."""
        return self.model_copy(update=zone.model_dump(exclude_none=True))

    @model_validator(mode="after")
    def _limits(self) -> Self:
        if contradiction := self.contradiction():
            raise ValueError(contradiction)
        faults: list[InitErrorDetails] = []
        for number, action in enumerate(self.action):
            if contradiction := self.of(action).contradiction():
                error = ValueError(f"action {action.name!r}: {contradiction}")
                faults.append({"type": "value_error", "loc": ("action", number), "input": {}, "ctx": {"error": error}})
        if faults:
            raise ValidationError.from_exception_data("decide", faults)
        return self

    def contradiction(self) -> str:
        """Describe limits that contradict each other; empty if none do."""
        if self.exit_threshold > self.enter_threshold:
            return (
                f"{self._shown('exit_threshold')} is above {self._shown('enter_threshold')}; an action would end as it "
                "starts. Lower the first or raise the second"
            )
        if 0 < self.max_length_s < self.min_length_s:
            return (
                f"{self._shown('max_length_s')} is below {self._shown('min_length_s')}; raise it, or set it to 0 for "
                "no limit"
            )
        return ""

    def _shown(self, key: str) -> str:
        return f"{key} {getattr(self, key)}{'' if key in self.model_fields_set else ' (its default)'}"

    @field_validator("action")
    @classmethod
    def _distinct(cls, actions: tuple[ActionConfig, ...]) -> tuple[ActionConfig, ...]:
        names = [action.name for action in actions]
        labels = [label for action in actions for label in action.labels or (action.name,)]
        checks.check_distinct(names, "duplicate action name {!r}; each action needs a unique name")
        checks.check_distinct(labels, "label {!r} belongs to two actions; assign it to one of them")
        return actions


class OutboxConfig(ConfigTable):
    """[outbox]: events on disk until the broker has acknowledged them."""

    folder: str = Field(
        default="auto", min_length=1, description="auto: systemd's or the user's state folder; off: in memory only"
    )
    max_mb: float = Field(
        default=64,
        ge=1,
        le=100_000,
        allow_inf_nan=False,
        description="MB on disk, plus up to 6 MB for SQLite's log and the disk reserve; the oldest events are dropped "
        "beyond that",
    )
    max_age_h: float = Field(
        default=168, gt=0, le=87_600, allow_inf_nan=False, description="hours that an event may wait for the broker"
    )
    replayable: int = Field(
        default=10_000, ge=0, le=1_000_000, description="number of delivered events that are kept for replay"
    )


class CameraConfig(ConfigTable):
    """[[camera]]: one camera, file or URL."""

    name: Name = Field(description="letters, digits, dot, dash, underscore; part of the topics")
    source: Annotated[str, Field(min_length=1), AfterValidator(checks.check_source)] = Field(
        description="file, rtsp(s)://, http(s)://, /dev/video*, gst: and a pipeline, or credential:NAME with a URL",
    )
    loop: bool = Field(default=False, description="start a file again when it ends")
    hop: Hop = Field(default=1, description="segments from one classified clip to the next")
    max_gap_s: float = Field(
        default=0.5, gt=0, le=5, description="seconds between two frames above which the window is emptied"
    )
    motion_gate: bool = Field(default=True, description="do not compute a still scene again")
    follow: bool = Field(
        default=False, description="look closely at what moves: the network sees a part of the picture that follows it"
    )
    decoder: Literal["auto", "gstreamer", "opencv"] = Field(
        default="auto", description="auto: GStreamer, or OpenCV if GStreamer is missing"
    )
    frozen_s: Annotated[float, Field(le=600, allow_inf_nan=False), AfterValidator(checks.check_frozen_s)] = Field(
        default=2.0,
        description="seconds of identical pictures after which a camera counts as frozen; at least 1; 0: never",
    )
    transport: Literal["tcp", "udp"] = Field(default="tcp", description="of rtsp://; udp: for cameras without TCP")
    username: str = Field(default="", description="for rtsp:// and http(s)://; empty: none, or the one in the URL")
    password_file: str = Field(
        default="", description="file whose first line is the password; or credential:NAME, loaded by systemd"
    )
    ca_file: str = Field(default="", description="PEM: whom rtsps:// and https:// trust; empty: the system's")
    hardware: bool = Field(default=True, description="decode with the graphics hardware if there is any")
    rotate: Literal[0, 90, 180, 270] = Field(default=0, description="clockwise rotation of the picture, degrees")
    region: Region = Field(
        default=WHOLE,
        description="part of the rotated picture that is analysed and recorded: left, top, width and height, as shares "
        "of it",
    )
    record_source: Annotated[str, AfterValidator(checks.check_source)] = Field(
        default="",
        description="the camera's main stream, written like `source`; used by [record] only; empty: record `source`",
    )
    zone: tuple[ZoneConfig, ...] = Field(
        default=(), strict=False, description="one table for each part of the picture that is analysed by itself"
    )

    @model_validator(mode="after")
    def _user(self) -> Self:
        if self.password_file and not self.username:
            raise ValueError("password_file needs a username")
        for source in (self.source, self.record_source):
            if source and not source.startswith(CREDENTIAL):
                checks.check_camera_user(source, self.username)
        checks.check_camera_tls((self.source, self.record_source), self.ca_file)
        return self

    @field_validator("zone")
    @classmethod
    def _unique(cls, zones: tuple[ZoneConfig, ...]) -> tuple[ZoneConfig, ...]:
        names = [zone.name for zone in zones]
        checks.check_distinct(names, "duplicate zone name {!r}; each zone of a camera needs a unique name")
        return zones

    @property
    def recorded(self) -> Self:
        """The main stream as a camera of its own."""
        return self.model_copy(update={"source": self.record_source, "record_source": ""})


class HomeAssistantConfig(ConfigTable):
    """[home_assistant]: MQTT discovery of the host and its cameras.

    Discovery messages stay on the broker, retained. A start or reload removes those that the configuration no longer
    has, and with them the devices in Home Assistant.
    """

    discovery: Literal["off", "device", "component"] = Field(
        default="off",
        description="device: one message per device; component: one per entity, for Home Assistant before 2024.12",
    )
    prefix: Annotated[str, Field(min_length=1), AfterValidator(checks.check_topic)] = Field(
        default="homeassistant", description="Home Assistant's discovery prefix"
    )


class Config(ConfigTable):
    """The whole configuration."""

    include: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="further files, as names or patterns relative to this file; what stands here wins over them",
    )
    host: Name = Field(
        default_factory=lambda: host_name(), description="name of this host in topics and ids; default: the machine's"
    )
    broker: BrokerConfig = Field(default_factory=BrokerConfig)  # not shared: it knows its file, as [record] does
    runtime: RuntimeConfig = RuntimeConfig()
    decide: DecideConfig = DecideConfig()
    outbox: OutboxConfig = OutboxConfig()
    home_assistant: HomeAssistantConfig = HomeAssistantConfig()
    record: RecordConfig = Field(default_factory=RecordConfig)
    metrics: MetricsConfig = MetricsConfig()
    web: WebConfig = Field(default_factory=WebConfig)  # not shared: it knows its file
    log: LogConfig = LogConfig()
    camera: tuple[CameraConfig, ...] = Field(min_length=1, description="one table per camera", strict=False)

    @field_validator("camera")
    @classmethod
    def _unique(cls, cameras: tuple[CameraConfig, ...]) -> tuple[CameraConfig, ...]:
        names = [camera.name for camera in cameras]
        checks.check_distinct(names, "duplicate camera name {!r}; each camera needs a unique name")
        return cameras

    @model_validator(mode="after")
    def _ports(self) -> Self:
        if self.web.port and self.web.port == self.metrics.port:
            raise ValueError(f"web.port and metrics.port are both {self.web.port}; each needs a port of its own")
        return self

    @model_validator(mode="after")
    def _zones(self) -> Self:
        """Check the limits that hold in each zone."""
        faults: list[InitErrorDetails] = []
        for number, camera in enumerate(self.camera):
            for place, zone in enumerate(camera.zone):
                limits = self.decide.within(zone.decide)
                named = ((f"action {action.name!r}: ", limits.of(action)) for action in limits.action)
                of_actions = (f"{name}{found}" for name, own in named if (found := own.contradiction()))
                if contradiction := limits.contradiction() or next(of_actions, ""):
                    keys = ("camera", number, "zone", place, "decide")
                    error = ValueError(f"zone {zone.name!r}: {contradiction}")
                    faults.append({"type": "value_error", "loc": keys, "input": {}, "ctx": {"error": error}})
        if faults:
            raise ValidationError.from_exception_data("zones", faults)
        return self

    @property
    def base_topic(self) -> str:
        return self.broker.base or f"edge-tdn/{self.host}"

    @property
    def file(self) -> ConfigFile:
        """The file that this configuration was read from, and those that it includes."""
        return self._file

    def remember(self, file: ConfigFile) -> None:
        """Set the file that this configuration was read from, for errors that are found later."""
        self._file = self.broker._file = self.record._file = self.web._file = file


def host_name() -> str:
    """Return this machine's name, made safe for a topic."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname().split(".")[0])[:64]
    return name if re.match("[A-Za-z0-9]", name) else "host"
