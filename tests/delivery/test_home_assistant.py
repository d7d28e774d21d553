"""What Home Assistant is told: by its documented schema, and each template on a real payload."""

import itertools
import json
import re
from collections.abc import Sequence
from typing import Any

import jinja2
import jinja2.sandbox
import pytest

from edge_tdn import __version__
from edge_tdn.config.load import parse
from edge_tdn.config.tables import Config
from edge_tdn.delivery.home_assistant import documents
from edge_tdn.messages import ActionEvent, CameraStatus, DaemonStatus, EventWindow, ModelRef, State

# Written down from https://www.home-assistant.io/integrations/mqtt/ and the pages of its platforms.
COMMON = {
    "availability", "availability_mode", "availability_template", "availability_topic", "payload_available",
    "payload_not_available", "default_entity_id", "device", "enabled_by_default", "encoding", "entity_category",
    "entity_picture", "icon", "json_attributes_template", "json_attributes_topic", "name", "origin", "qos", "unique_id",
}  # fmt: skip
PLATFORMS: dict[str, tuple[set[str], set[str]]] = {  # required and optional keys
    "event": ({"state_topic", "event_types"}, {"device_class", "value_template"}),
    "binary_sensor": (
        {"state_topic"},
        {"device_class", "expire_after", "force_update", "off_delay", "payload_off", "payload_on", "value_template"},
    ),
    "sensor": (
        {"state_topic"},
        {"device_class", "expire_after", "force_update", "last_reset_value_template", "options", "state_class",
         "suggested_display_precision", "unit_of_measurement", "value_template"},
    ),
    "image": ({"image_topic"}, {"content_type", "image_encoding"}),
    "switch": (
        {"command_topic"},
        {"command_template", "device_class", "optimistic", "payload_off", "payload_on", "retain", "state_off",
         "state_on", "state_topic", "value_template"},
    ),
}  # fmt: skip
DEVICE = {
    "configuration_url", "connections", "hw_version", "identifiers", "manufacturer", "model", "model_id", "name",
    "serial_number", "suggested_area", "sw_version", "via_device",
}  # fmt: skip
ORIGIN = {"name", "sw_version", "support_url"}
AVAILABILITY = {"payload_available", "payload_not_available", "topic", "value_template"}
CLASSES = {
    "binary_sensor": {"connectivity", "running"},
    "sensor": {"enum", "timestamp", "duration"},
}  # of the many that there are, those we use
UNITS = {"duration": {"d", "h", "min", "s", "ms", "µs"}, "timestamp": {None}, "enum": {None}}
TOPIC = re.compile(r"homeassistant/(\w+)/(?:([a-zA-Z0-9_-]+)/)?([a-zA-Z0-9_-]+)/config")

LABELS = ["Pushing [something] \"off\" 'of' {{ it }}", "倒水", "none"]
MODEL = ModelRef(id="motion", precision="fp32", sha256="0" * 64)
DAEMON: dict[str, Any] = {
    "schema": 1, "host": "attic", "version": __version__, "boot": "b", "started_at": "2026-03-01T11:00:00.000Z",
    "model": MODEL.model_dump(), "device": "CPU", "cameras": ["hall"], "session": 1,
    "delivery": {"state": "degraded", "reason": "refused", "since": "2026-03-01T12:00:00.000Z"},
    "outbox": {"state": "ok", "reason": "", "waiting": 3, "dropped": 2, "lost": 1},
    "config": {"state": "in_force", "reason": "", "since": "2026-03-01T12:00:00.000Z"},
}  # fmt: skip


def site(
    discovery: str, host: str = "attic", cameras: Sequence[str] = ("hall",), snapshot: bool = True, **other: str
) -> Config:
    return parse(
        {
            "host": host,
            "record": {"snapshot": snapshot},
            "home_assistant": {"discovery": discovery, **other},
            "camera": [{"name": name, "source": "demo:"} for name in cameras],
        },
        "site.toml",
    )


def event(kind: str, label: str, replayed: bool = False) -> bytes:
    at = "2026-03-01T12:00:00.000Z"
    return ActionEvent.model_validate({
        "id": "attic/hall/b/1", "seq": 1, "type": kind, "reason": "below_threshold" if kind == "end" else None,
        "host": "attic", "camera": "hall", "label": label, "label_index": 0, "score": 0.75, "peak_score": 0.75,
        "started_at": at, "ended_at": at if kind == "end" else None, "model": MODEL, "replayed": replayed,
        "window": EventWindow.model_validate({"from": at, "to": at, "frames": 40, "dropped": 0}),
    }).json_bytes()  # fmt: skip


def camera_status(state: State, reason: str = "") -> bytes:
    return CameraStatus(
        camera="hall", state=state, reason=reason, since="2026-03-01T12:00:00.000Z", fps=25.0, width=640, height=480,
        hop=1, latency_ms=31.5, clips=10, gated=0, shed=0, gaps=0,
    ).json_bytes()  # fmt: skip


def told(config: Config, labels: Sequence[str] = LABELS) -> dict[str, Any]:
    return {topic: json.loads(document) for topic, document in documents(config, labels).items()}


def entities(config: Config) -> dict[tuple[str, str], dict[str, Any]]:
    """(device, name) -> the entity's settings with its platform, from either form."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for topic, document in told(config).items():
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


def render(template: str, payload: bytes | str) -> str:
    """As Home Assistant does it; a key that the payload has not is an error."""
    value = payload.decode() if isinstance(payload, bytes) else payload
    try:
        known = {"value_json": json.loads(value)}
    except ValueError:
        known = {}
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
    return environment.from_string(template).render(value=value, **known).strip()


def test_nothing_is_told_unless_it_is_asked_for() -> None:
    assert documents(site("off"), LABELS) == {}


def test_the_two_forms_tell_the_same() -> None:
    config = {form: site(form, cameras=("hall", "a.b")) for form in ("device", "component")}
    assert entities(config["device"]) == entities(config["component"])
    device, component = (told(config[form]) for form in ("device", "component"))
    assert list(device) == [
        f"homeassistant/device/edge-tdn_attic{camera}/config" for camera in ("", "_hall", "_a_-b")
    ]  # the host first: cameras refer to it
    assert "homeassistant/binary_sensor/edge-tdn_attic_hall/action/config" in component
    assert {json.dumps(document["device"]) for document in device.values()} == {
        json.dumps(document["device"]) for document in component.values()
    }
    assert set(told(site("device", prefix="my/home"))) == {
        "my/home/device/edge-tdn_attic/config", "my/home/device/edge-tdn_attic_hall/config",
    }  # fmt: skip


@pytest.mark.parametrize("form", ["device", "component"])
def test_every_document_follows_home_assistants_schema(form: str) -> None:
    unique: set[str] = set()
    devices = {document["device"]["identifiers"][0] for document in told(site(form)).values()}
    for topic, document in told(site(form)).items():
        match = TOPIC.fullmatch(topic)
        assert match, topic
        device, origin = document["device"], document["origin"]
        assert set(device) <= DEVICE
        assert device["identifiers"]
        assert device.get("via_device", "edge-tdn_attic") in devices
        assert {"name"} <= set(origin) <= ORIGIN
        if form == "device":
            assert set(document) == {"device", "origin", "components"}
            members = [(entity.pop("platform"), entity) for entity in document["components"].values()]
        else:
            members = [(match[1], document)]
        for platform, entity in members:
            required, optional = PLATFORMS[platform]
            assert required <= set(entity) <= required | optional | COMMON, entity
            assert re.fullmatch(r"[a-zA-Z0-9_-]+", entity["unique_id"])
            assert entity["unique_id"] not in unique
            unique.add(entity["unique_id"])
            assert entity["qos"] in (0, 1, 2)
            assert entity.get("entity_category") in (None, "config", "diagnostic")
            assert entity.get("availability_mode", "latest") in ("all", "any", "latest")
            for topics in entity.get("availability", []):
                assert {"topic"} <= set(topics) <= AVAILABILITY
            if "device_class" in entity:
                kind = entity["device_class"]
                assert kind in CLASSES[platform]
                assert entity.get("unit_of_measurement") in UNITS.get(kind, {None})
            assert ("options" in entity) == (entity.get("device_class") == "enum")
            if "options" in entity:
                assert len(set(entity["options"])) == len(entity["options"]) > 0
                assert "state_class" not in entity
            for key in ("event_types", "options"):
                assert all(type(item) is str for item in entity.get(key, []))


def test_an_action_that_starts_is_an_event_with_all_that_we_know() -> None:
    started = entities(site("device"))["hall", "Action started"]
    assert started["event_types"] == LABELS
    assert started["state_topic"] == "edge-tdn/attic/hall/events"
    for label in LABELS:
        payload = event("start", label)
        assert json.loads(render(started["value_template"], payload)) == {**json.loads(payload), "event_type": label}
    for silent in (event("update", "倒水"), event("end", "倒水"), event("start", "倒水", replayed=True)):
        assert render(started["value_template"], silent) == ""  # which Home Assistant ignores


def test_the_action_now_is_a_state() -> None:
    all_ = entities(site("device"))
    action, label = all_["hall", "Action"], all_["hall", "Label"]
    assert action["state_topic"] == label["state_topic"] == "edge-tdn/attic/hall/action"
    assert render(action["value_template"], "none") == "OFF"
    assert render(action["value_template"], "倒水") == "ON"
    assert "value_template" not in label
    assert label["options"] == ["none", *LABELS[:2]]


@pytest.mark.parametrize("state", CameraStatus.model_json_schema()["properties"]["state"]["enum"])
def test_a_cameras_status_is_shown(state: State) -> None:
    all_ = entities(site("device"))
    payload = camera_status(state, "why")
    shown = {name: render(all_["hall", name]["value_template"], payload) for name in ("State", "Frame rate", "Latency")}
    assert shown == {"State": state, "Frame rate": "25.0", "Latency": "31.5"}
    assert state in all_["hall", "State"]["options"]
    attributes = json.loads(render(all_["hall", "State"]["json_attributes_template"], payload))
    assert attributes == {"reason": "why", "since": "2026-03-01T12:00:00.000Z"}
    assert render(all_["hall", "Enabled"]["value_template"], payload) == ("OFF" if state == "disabled" else "ON")
    assert all_["hall", "Enabled"]["command_topic"] == "edge-tdn/attic/cmd/hall/set/enabled"
    daemon, camera = all_["hall", "Action"]["availability"]
    assert camera["topic"] == "edge-tdn/attic/hall/status"
    there = "online" if state in ("streaming", "frozen") else "offline"
    assert render(camera["value_template"], payload) == there
    assert daemon["topic"] == "edge-tdn/attic/availability"
    for word, there in (("online", "online"), ("stopped", "offline"), ("offline", "offline")):
        assert render(daemon["value_template"], word) == there
    assert all_["hall", "State"]["availability"] == [daemon]  # or nobody would see why a camera is away
    assert all_["hall", "Enabled"]["availability"] == [daemon]


def test_a_snapshot_is_announced_where_there_is_one() -> None:
    assert ("hall", "Snapshot") in entities(site("device"))
    assert ("hall", "Snapshot") not in entities(site("device", snapshot=False))


def test_the_hosts_status_is_shown() -> None:
    DaemonStatus.model_validate(DAEMON)
    payload = json.dumps(DAEMON)
    mine = {name: entity for (device, name), entity in entities(site("device")).items() if device == "attic"}
    connection = mine.pop("Connection")
    assert [render(connection["value_template"], word) for word in ("online", "stopped", "offline")] == [
        "ON", "OFF", "OFF",
    ]  # fmt: skip
    assert "availability" not in connection  # or it would never say that the connection is off
    assert {name: render(entity["value_template"], payload) for name, entity in mine.items()} == {
        "Delivery": "degraded", "Outbox": "ok", "Events waiting": "3", "Events dropped": "2", "Events lost": "1",
        "Model": "motion", "Started": "2026-03-01T11:00:00.000Z",
    }  # fmt: skip
    for name in ("Delivery", "Outbox"):
        attributes = json.loads(render(mine[name]["json_attributes_template"], payload))
        assert attributes == DAEMON[name.lower()]


def test_no_two_cameras_share_an_id_whatever_their_names() -> None:
    names = ["".join(name) for length in (1, 2, 3, 4) for name in itertools.product("a._-", repeat=length)]
    names = [name for name in names if name[0] == "a"]
    ids = [
        identifier
        for host in names
        for document in told(site("device", host, names)).values()
        for identifier in document["device"]["identifiers"]
    ]
    assert len(set(ids)) == len(ids) == len(names) * (1 + len(names))
