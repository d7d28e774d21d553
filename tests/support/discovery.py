"""A site with Home Assistant discovery, and the payloads of its daemon."""

from collections.abc import Sequence
from typing import Any

from edge_tdn import __version__
from edge_tdn.config.load import parse
from edge_tdn.config.tables import Config
from edge_tdn.messages import ActionEvent, EventWindow, ModelRef, State
from edge_tdn.status_messages import CameraStatus, CameraThresholds, Thresholds

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
    **other: str,
) -> Config:
    return parse(
        {
            "host": host,
            "record": {"snapshot": snapshot},
            "decide": decide or {},
            "home_assistant": {"discovery": discovery, **other},
            "camera": [{"name": name, "source": "demo:"} for name in cameras],
        },
        "site.toml",
    )


def event_payload(kind: str, label: str, replayed: bool = False) -> bytes:
    ended = kind == "end"
    return ActionEvent.model_validate(
        {
            "id": "attic/hall/b/1",
            "seq": 1,
            "type": kind,
            "reason": "below_threshold" if ended else None,
            "host": "attic",
            "camera": "hall",
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
    state: State, reason: str = "", enter: float = 0.6, actions: dict[str, float] | None = None
) -> bytes:
    """`enter`: the enter threshold of all actions; `actions`: those of single ones."""
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
    ).json_bytes()
