"""Tests of the discovery documents: against the documented schema, and each template on a real payload."""

import itertools
import json
import re
from typing import Any

import pytest

from edge_tdn.delivery.commands import SetThreshold
from edge_tdn.delivery.commands import parse as parse_command
from edge_tdn.delivery.home_assistant import MAX_ACTIONS
from edge_tdn.messages import State
from edge_tdn.status_messages import CameraStatus, DaemonStatus
from tests.support.discovery import (
    DAEMON_STATUS,
    LABELS,
    TOPIC,
    camera_status_payload,
    discovery_site,
    entities,
    event_payload,
    parsed,
    render,
)

# Copied from https://www.home-assistant.io/integrations/mqtt/ and the pages of its platforms.
COMMON = {
    "availability",
    "availability_mode",
    "availability_template",
    "availability_topic",
    "payload_available",
    "payload_not_available",
    "default_entity_id",
    "device",
    "enabled_by_default",
    "encoding",
    "entity_category",
    "entity_picture",
    "icon",
    "json_attributes_template",
    "json_attributes_topic",
    "name",
    "origin",
    "qos",
    "unique_id",
}
PLATFORMS: dict[str, tuple[set[str], set[str]]] = {  # required and optional keys
    "event": ({"state_topic", "event_types"}, {"device_class", "value_template"}),
    "binary_sensor": (
        {"state_topic"},
        {"device_class", "expire_after", "force_update", "off_delay", "payload_off", "payload_on", "value_template"},
    ),
    "sensor": (
        {"state_topic"},
        {
            "device_class",
            "expire_after",
            "force_update",
            "last_reset_value_template",
            "options",
            "state_class",
            "suggested_display_precision",
            "unit_of_measurement",
            "value_template",
        },
    ),
    "image": ({"image_topic"}, {"content_type", "image_encoding"}),
    "number": (
        {"command_topic"},
        {
            "command_template",
            "device_class",
            "max",
            "min",
            "mode",
            "optimistic",
            "payload_reset",
            "retain",
            "state_topic",
            "step",
            "unit_of_measurement",
            "value_template",
        },
    ),
    "switch": (
        {"command_topic"},
        {
            "command_template",
            "device_class",
            "optimistic",
            "payload_off",
            "payload_on",
            "retain",
            "state_off",
            "state_on",
            "state_topic",
            "value_template",
        },
    ),
}
DEVICE = {
    "configuration_url",
    "connections",
    "hw_version",
    "identifiers",
    "manufacturer",
    "model",
    "model_id",
    "name",
    "serial_number",
    "suggested_area",
    "sw_version",
    "via_device",
}
ORIGIN = {"name", "sw_version", "support_url"}
AVAILABILITY = {"payload_available", "payload_not_available", "topic", "value_template"}
CLASSES = {
    "binary_sensor": {"connectivity", "motion", "running"},
    "sensor": {"enum", "timestamp", "duration"},
}  # only those that we use
UNITS = {"duration": {"d", "h", "min", "s", "ms", "µs"}, "timestamp": {None}, "enum": {None}}
ZONES = ({"name": "gate", "decide": {"several": True}}, {"name": "bed_area.1"})


def test_discovery_is_off_by_configuration() -> None:
    assert parsed(discovery_site("off")) == {}


def test_both_forms_describe_the_same_entities() -> None:
    config = {form: discovery_site(form, cameras=("hall", "a.b"), zones=ZONES) for form in ("device", "component")}
    assert entities(config["device"]) == entities(config["component"])
    device, component = (parsed(config[form]) for form in ("device", "component"))
    assert list(device) == [
        f"homeassistant/device/edge-tdn_attic{camera}/config" for camera in ("", "_hall", "_a_-b")
    ]  # the host first: cameras refer to it
    assert "homeassistant/binary_sensor/edge-tdn_attic_hall/action/config" in component
    assert {json.dumps(document["device"]) for document in device.values()} == {
        json.dumps(document["device"]) for document in component.values()
    }
    assert set(parsed(discovery_site("device", prefix="my/home"))) == {
        "my/home/device/edge-tdn_attic/config",
        "my/home/device/edge-tdn_attic_hall/config",
    }


@pytest.mark.parametrize("form", ["device", "component"])
@pytest.mark.parametrize("zones", [(), ZONES])
def test_every_document_fits_home_assistants_schema(form: str, zones: tuple[dict[str, Any], ...]) -> None:
    unique: set[str] = set()
    documents = parsed(discovery_site(form, zones=zones))
    devices = {document["device"]["identifiers"][0] for document in documents.values()}
    for topic, document in documents.items():
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


def test_the_start_of_an_action_is_an_event_with_all_its_attributes() -> None:
    started = entities(discovery_site("device"))["hall", "Action started"]
    assert started["event_types"] == LABELS
    assert started["state_topic"] == "edge-tdn/attic/hall/events"
    for label in LABELS:
        payload = event_payload("start", label)
        assert json.loads(render(started["value_template"], payload)) == {**json.loads(payload), "event_type": label}
    for silent in (
        event_payload("update", "倒水"),
        event_payload("end", "倒水"),
        event_payload("start", "倒水", replayed=True),
    ):
        assert render(started["value_template"], silent) == ""  # which Home Assistant ignores


def test_the_current_action_is_a_state() -> None:
    all_ = entities(discovery_site("device"))
    action, label = all_["hall", "Action"], all_["hall", "Label"]
    assert action["state_topic"] == label["state_topic"] == "edge-tdn/attic/hall/action"
    assert render(action["value_template"], "none") == "OFF"
    assert render(action["value_template"], "倒水") == "ON"
    assert "value_template" not in label
    assert label["options"] == ["none", *LABELS[:2]]


def test_each_action_is_a_binary_sensor() -> None:
    """Each follows the retained label, or with several actions at a time the events; "none" gets none."""
    all_ = entities(discovery_site("device"))
    assert ("hall", "none") not in all_
    for label in LABELS[:2]:
        sensor = all_["hall", label]
        assert (sensor["platform"], sensor["state_topic"]) == ("binary_sensor", "edge-tdn/attic/hall/action")
        shown = [render(sensor["value_template"], name) for name in ("none", *LABELS[:2])]
        assert shown == ["OFF", *("ON" if name == label else "OFF" for name in LABELS[:2])]
        several = entities(discovery_site("device", decide={"several": True, "merge_gap_s": 2.5}))["hall", label]
        assert (several["state_topic"], several["off_delay"]) == ("edge-tdn/attic/hall/events", 18)
        template = several["value_template"]
        shown = [render(template, event_payload(kind, label)) for kind in ("start", "update", "end")]
        assert shown == ["ON", "ON", "OFF"]
        assert render(template, event_payload("start", label, replayed=True)) == ""
        assert render(template, event_payload("start", "another")) == ""
    unending = entities(discovery_site("device", decide={"several": True, "update_interval_s": 0.0}))
    assert "off_delay" not in unending["hall", "倒水"]  # no update would keep it on


def test_thresholds_are_numbers_whose_commands_are_accepted() -> None:
    """That of all actions at once; those of single actions are disabled until someone needs them."""
    all_ = entities(discovery_site("device"))
    payload = camera_status_payload("streaming", enter=0.7, actions={"倒水": 0.25})
    for name, label, value in (
        ("Threshold", None, "0.7"),
        (f"{LABELS[0]} threshold", LABELS[0], "0.7"),
        ("倒水 threshold", "倒水", "0.25"),
    ):
        number = all_["hall", name]
        assert number.get("enabled_by_default", True) == (label is None)
        assert number["state_topic"] == "edge-tdn/attic/hall/status"
        assert render(number["value_template"], payload) == value
        command = render(number["command_template"], 0.55)
        topic = number["command_topic"].removeprefix("edge-tdn/attic/cmd/")
        assert parse_command(topic, command.encode(), {"hall"}) == SetThreshold("hall", 0.55, None, label)
    assert json.loads(render(all_["hall", "Threshold"]["json_attributes_template"], payload)) == {"exit": 0.4}


def test_many_labels_do_not_flood_home_assistant() -> None:
    """Beyond a limit, only the actions in [[decide.action]] have entities of their own."""
    labels = [f"action {n}" for n in range(174)]

    def sensors(count: int, configured: int = 0) -> list[str]:
        decide = {"action": [{"name": f"action {n}"} for n in range(configured)]}
        found = entities(discovery_site("device", decide=decide), labels[:count])
        own = [name for (_, name), entity in found.items() if "device_class" in entity and name in labels]
        assert len([name for _, name in found if name.endswith(" threshold")]) == len(own)
        return own

    assert sensors(MAX_ACTIONS) == labels[:MAX_ACTIONS]
    assert sensors(174) == []
    assert sensors(174, configured=2) == labels[:2]
    assert sensors(174, configured=100) == labels[:MAX_ACTIONS]


@pytest.mark.parametrize("state", CameraStatus.model_json_schema()["properties"]["state"]["enum"])
def test_a_cameras_status_is_shown(state: State) -> None:
    all_ = entities(discovery_site("device"))
    payload = camera_status_payload(state, "why")
    shown = {name: render(all_["hall", name]["value_template"], payload) for name in ("State", "Frame rate", "Latency")}
    assert shown == {"State": state, "Frame rate": "25.0", "Latency": "31.5"}
    assert state in all_["hall", "State"]["options"]
    attributes = json.loads(render(all_["hall", "State"]["json_attributes_template"], payload))
    assert attributes == {"reason": "why", "since": "2026-03-01T12:00:00.000Z"}
    assert render(all_["hall", "Enabled"]["value_template"], payload) == ("OFF" if state == "disabled" else "ON")
    assert all_["hall", "Enabled"]["command_topic"] == "edge-tdn/attic/cmd/hall/set/enabled"
    daemon, camera = all_["hall", "Action"]["availability"]
    assert camera["topic"] == "edge-tdn/attic/hall/status"
    available = "online" if state in ("streaming", "frozen") else "offline"
    assert render(camera["value_template"], payload) == available
    assert daemon["topic"] == "edge-tdn/attic/availability"
    for word, available in (("online", "online"), ("stopped", "offline"), ("offline", "offline")):
        assert render(daemon["value_template"], word) == available
    assert all_["hall", "State"]["availability"] == [daemon]  # also while the camera is away, to show the reason
    assert all_["hall", "Enabled"]["availability"] == [daemon]


def test_a_snapshot_is_announced_only_if_it_is_published() -> None:
    assert ("hall", "Snapshot") in entities(discovery_site("device"))
    assert ("hall", "Snapshot") not in entities(discovery_site("device", snapshot=False))


def test_the_hosts_status_is_shown() -> None:
    DaemonStatus.model_validate(DAEMON_STATUS)
    payload = json.dumps(DAEMON_STATUS)
    mine = {name: entity for (device, name), entity in entities(discovery_site("device")).items() if device == "attic"}
    connection = mine.pop("Connection")
    assert [render(connection["value_template"], word) for word in ("online", "stopped", "offline")] == [
        "ON",
        "OFF",
        "OFF",
    ]
    assert "availability" not in connection  # else it could never be off
    assert {name: render(entity["value_template"], payload) for name, entity in mine.items()} == {
        "Delivery": "degraded",
        "Outbox": "ok",
        "Events waiting": "3",
        "Events dropped": "2",
        "Events lost": "1",
        "Model": "motion",
        "Started": "2026-03-01T11:00:00.000Z",
    }
    for name in ("Delivery", "Outbox"):
        attributes = json.loads(render(mine[name]["json_attributes_template"], payload))
        assert attributes == DAEMON_STATUS[name.lower()]


def test_ids_are_unique_whatever_the_names() -> None:
    names = ["".join(name) for length in (1, 2, 3, 4) for name in itertools.product("a._-", repeat=length)]
    names = [name for name in names if name[0] == "a"]
    ids = [
        identifier
        for host in names
        for document in parsed(discovery_site("device", host, names)).values()
        for identifier in document["device"]["identifiers"]
    ]
    assert len(set(ids)) == len(ids) == len(names) * (1 + len(names))
