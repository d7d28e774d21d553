"""A site with Home Assistant discovery, and the payloads of its daemon."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import jinja2.sandbox

from edge_tdn import __version__
from edge_tdn.config.load import parse
from edge_tdn.config.resolved_zones import resolved_zones
from edge_tdn.config.tables import Config
from edge_tdn.delivery.home_assistant import Labels, documents
from edge_tdn.messages import ActionEvent, EventWindow, ModelRef, State
from edge_tdn.status_messages import CameraStatus, CameraThresholds, Thresholds, ZoneStatus

LABELS = ["Pushing [something] \"off\" 'of' {{ it }}", "倒水", "none"]
TOPIC = re.compile(r"homeassistant/(\w+)/(?:([a-zA-Z0-9_-]+)/)?([a-zA-Z0-9_-]+)/config")
MOMENT = "2026-03-01T12:00:00.000Z"
MODEL = ModelRef(id="motion", precision="fp32", sha256="0" * 64)
DAEMON_STATUS: dict[str, Any] = {
    "schema": 1,
    "host": "attic",
    "version": __version__,
    "boot": "b",
    "started_at": "2026-03-01T11:00:00.000Z",
    "model": MODEL.model_dump(),
    "device": "CPU",
    "cameras": ["hall"],
    "session": 1,
    "delivery": {"state": "degraded", "reason": "rejected", "since": MOMENT},
    "outbox": {"state": "ok", "reason": "", "waiting": 3, "dropped": 2, "lost": 1},
    "config": {"state": "in_force", "reason": "", "since": MOMENT},
}


def discovery_site(
    discovery: str,
    host: str = "attic",
    cameras: Sequence[str] = ("hall",),
    snapshot: bool = True,
    decide: dict[str, Any] | None = None,
    zones: Sequence[dict[str, Any]] = (),
    **other: str,
) -> Config:
    """`zones`: tables of each camera."""
    return parse(
        {
            "host": host,
            "record": {"snapshot": snapshot},
            "decide": decide or {},
            "home_assistant": {"discovery": discovery, **other},
            "camera": [{"name": name, "source": "demo:", "zone": zones} for name in cameras],
        },
        "site.toml",
    )


def same_labels(config: Config, labels: Sequence[str]) -> Labels:
    """Return the labels of all cameras and zones of a configuration, if all have the same."""
    return {(camera.name, zone.name): labels for camera in config.camera for zone in resolved_zones(config, camera)}


def parsed(config: Config, labels: Labels | Sequence[str] = LABELS) -> dict[str, Any]:
    """Return the discovery documents by topic. `labels`: a sequence for all cameras and zones."""
    announced = documents(config, labels if isinstance(labels, Mapping) else same_labels(config, labels))
    return {topic: json.loads(document) for topic, document in announced.items()}


def entities(config: Config, labels: Labels | Sequence[str] = LABELS) -> dict[tuple[str, str], dict[str, Any]]:
    """Return each entity's settings with its platform by (device, name), from either form."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for topic, document in parsed(config, labels).items():
        about = document["device"]["name"]
        match = TOPIC.fullmatch(topic)
        assert match
        if match[1] == "device":
            members = document["components"].values()
        else:
            own = {key: value for key, value in document.items() if key not in ("device", "origin")}
            members = [{"platform": match[1], **own}]
        found |= {(about, entity["name"]): entity for entity in members}
    return found


def render(template: str, payload: bytes | str | float) -> str:
    """Render a template as Home Assistant does; a key that the payload lacks is an error. A number: for a command."""
    value = payload.decode() if isinstance(payload, bytes) else payload
    try:
        values = {"value_json": json.loads(value)} if isinstance(value, str) else {}
    except ValueError:
        values = {}
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
    return environment.from_string(template).render(value=value, **values).strip()


def event_payload(kind: str, label: str, replayed: bool = False, zone: str | None = None) -> bytes:
    ended = kind == "end"
    return ActionEvent.model_validate(
        {
            "id": "attic/hall/b/1",
            "seq": 1,
            "type": kind,
            "reason": "below_threshold" if ended else None,
            "host": "attic",
            "camera": "hall",
            "zone": zone,
            "label": label,
            "label_index": 0,
            "score": 0.75,
            "peak_score": 0.75,
            "started_at": MOMENT,
            "ended_at": MOMENT if ended else None,
            "model": MODEL,
            "replayed": replayed,
            "window": EventWindow.model_validate({"from": MOMENT, "to": MOMENT, "frames": 40, "dropped": 0}),
        }
    ).json_bytes()


def camera_status_payload(
    state: State,
    reason: str = "",
    enter: float = 0.6,
    actions: dict[str, float] | None = None,
    zones: dict[str, float] | None = None,
) -> bytes:
    """`enter`: the enter threshold of all actions; `actions`: those of single ones; `zones`: of all actions there."""
    own = {label: Thresholds(enter=score, exit=0.0) for label, score in (actions or {}).items()}
    return CameraStatus(
        camera="hall",
        state=state,
        reason=reason,
        since=MOMENT,
        fps=25.0,
        width=640,
        height=480,
        hop=1,
        latency_ms=31.5,
        clips=10,
        gated=0,
        shed=0,
        gaps=0,
        thresholds=CameraThresholds(enter=enter, exit=0.4, actions=own),
        zones=tuple(_zone_status(name, score, own) for name, score in (zones or {}).items()),
    ).json_bytes()


def _zone_status(name: str, enter: float, actions: dict[str, Thresholds]) -> ZoneStatus:
    return ZoneStatus(
        zone=name,
        reason="",
        action=None,
        model=MODEL,
        width=320,
        height=240,
        segment_s=0.25,
        hop=1,
        latency_ms=100 * enter,
        clips=5,
        gated=0,
        shed=0,
        repeated=0,
        thresholds=CameraThresholds(enter=enter, exit=0.1, actions=actions),
    )
