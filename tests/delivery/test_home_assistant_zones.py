"""Tests of the discovery documents of cameras with zones; test_home_assistant.py has their schema."""

import itertools
import json
from typing import Any

from edge_tdn.config.tables import Config
from edge_tdn.delivery.commands import SetThreshold
from edge_tdn.delivery.commands import parse as parse_command
from edge_tdn.delivery.home_assistant import MAX_ACTIONS, documents
from edge_tdn.delivery.removed_entities import removing
from tests.support.discovery import (
    LABELS,
    camera_status_payload,
    discovery_site,
    entities,
    event_payload,
    parsed,
    render,
    same_labels,
)

HALL = "edge-tdn/attic/hall"
OWN = {("hall", "gate"): LABELS, ("hall", "bed.1"): ["fall", "倒水"]}  # two models


def site(form: str = "device", **gate: Any) -> Config:
    """Return a configuration with two zones. `gate`: [camera.zone.decide] of the first one."""
    return discovery_site(form, zones=[{"name": "gate", "decide": gate}, {"name": "bed.1"}])


def test_each_zone_has_entities_on_the_device_of_its_camera() -> None:
    """Single actions have some in the zones only: the camera's label is that of the newest action of all zones."""
    camera = ["Snapshot", "Action started", "Action", "Label", "Threshold"]
    camera += ["Enabled", "State", "Frame rate", "Latency"]
    zones = {"Gate": LABELS[:2], "Bed.1": ["fall", "倒水"]}
    own = [
        f"{zone}: {name}"
        for zone, labels in zones.items()
        for name in (
            *("snapshot", "action started", "action", "label", "threshold", "latency"),
            *(name for label in labels for name in (label, f"{label} threshold")),
        )
    ]
    found = entities(site(), OWN)
    assert sorted(name for device, name in found if device == "hall") == sorted([*camera, *own])
    assert found["hall", "Label"]["options"] == ["none", *LABELS[:2], "fall"]
    assert found["hall", "Bed.1: label"]["options"] == ["none", "fall", "倒水"]
    assert len(parsed(site(), OWN)) == 2, "the host and the camera"


def test_the_start_of_an_action_is_an_event_of_its_zone_and_of_the_camera() -> None:
    found = entities(site(), OWN)
    camera, gate, bed = (
        found["hall", name] for name in ("Action started", "Gate: action started", "Bed.1: action started")
    )
    assert {one["state_topic"] for one in (camera, gate, bed)} == {f"{HALL}/events"}
    assert camera["event_types"] == [*LABELS, "fall"]
    assert bed["event_types"] == ["fall", "倒水"]
    payload = event_payload("start", "倒水", zone="bed.1")
    for one in (camera, bed):
        assert json.loads(render(one["value_template"], payload)) == {**json.loads(payload), "event_type": "倒水"}
    assert render(gate["value_template"], payload) == ""
    for silent in (
        event_payload("update", "倒水", zone="bed.1"),
        event_payload("start", "倒水", replayed=True, zone="bed.1"),
        event_payload("start", "倒水"),  # from before the camera had zones
    ):
        assert render(bed["value_template"], silent) == ""


def test_the_current_action_and_the_picture_of_a_zone_are_states() -> None:
    found = entities(site(), OWN)
    for prefix, topic in (("", HALL), ("Gate: ", f"{HALL}/gate"), ("Bed.1: ", f"{HALL}/bed.1")):
        action, label, snapshot = ("action", "label", "snapshot") if prefix else ("Action", "Label", "Snapshot")
        assert found["hall", f"{prefix}{action}"]["state_topic"] == f"{topic}/action"
        assert found["hall", f"{prefix}{label}"]["state_topic"] == f"{topic}/action"
        assert found["hall", f"{prefix}{snapshot}"]["image_topic"] == f"{topic}/snapshot"
        assert found["hall", f"{prefix}{action}"]["availability"] == found["hall", "Action"]["availability"]
    without = discovery_site("device", zones=[{"name": "gate"}], snapshot=False)
    assert ("hall", "Gate: snapshot") not in entities(without)


def test_each_action_of_a_zone_is_a_binary_sensor_with_the_limits_of_that_zone() -> None:
    found = entities(site(several=True, merge_gap_s=4.0), OWN)
    bed = found["hall", "Bed.1: 倒水"]
    assert bed["state_topic"] == f"{HALL}/bed.1/action"
    assert [render(bed["value_template"], name) for name in ("倒水", "fall", "none")] == ["ON", "OFF", "OFF"]
    gate = found["hall", "Gate: 倒水"]
    assert (gate["state_topic"], gate["off_delay"]) == (f"{HALL}/events", 19)
    for zone, shown in (("gate", ["ON", "ON", "OFF"]), ("bed.1", ["", "", ""]), (None, ["", "", ""])):
        kinds = ("start", "update", "end")
        assert [render(gate["value_template"], event_payload(kind, "倒水", zone=zone)) for kind in kinds] == shown


def test_the_thresholds_and_the_latency_of_a_zone_are_in_the_cameras_status() -> None:
    found = entities(site(), OWN)
    payload = camera_status_payload("streaming", enter=0.7, actions={"倒水": 0.25}, zones={"gate": 0.5, "bed.1": 0.6})
    for name, zone, label, value in (
        ("Threshold", None, None, "0.7"),
        ("Gate: threshold", "gate", None, "0.5"),
        ("Bed.1: threshold", "bed.1", None, "0.6"),
        ("Bed.1: fall threshold", "bed.1", "fall", "0.6"),
        ("Bed.1: 倒水 threshold", "bed.1", "倒水", "0.25"),
        (f"Gate: {LABELS[0]} threshold", "gate", LABELS[0], "0.5"),
    ):
        number = found["hall", name]
        assert number.get("enabled_by_default", True) == (label is None)
        assert number["state_topic"] == f"{HALL}/status"
        assert render(number["value_template"], payload) == value
        command = render(number["command_template"], 0.55)
        topic = number["command_topic"].removeprefix("edge-tdn/attic/cmd/")
        assert parse_command(topic, command.encode(), {"hall"}) == SetThreshold("hall", 0.55, None, label, zone)
    gate, latency = found["hall", "Gate: threshold"], found["hall", "Gate: latency"]
    assert json.loads(render(gate["json_attributes_template"], payload)) == {"exit": 0.1}
    assert [render(found["hall", name]["value_template"], payload) for name in ("Gate: latency", "Latency")] == [
        "50.0",
        "31.5",
    ]
    before = camera_status_payload("streaming")  # what the broker retains from before the camera had zones
    assert [render(one["value_template"], before) for one in (gate, latency)] == ["", ""], "it is ignored"
    assert render(gate["json_attributes_template"], before) == "{}"


def test_many_labels_of_one_zone_do_not_flood_home_assistant() -> None:
    """Nor do they hide the actions of another zone."""
    many = [f"action {n}" for n in range(174)]
    decide = {"action": [{"name": f"action {n}"} for n in range(100)]}
    config = discovery_site("device", decide=decide, zones=[{"name": "gate"}, {"name": "bed"}])
    found = entities(config, {("hall", "gate"): many, ("hall", "bed"): ["fall"]})
    own = [name for _, name in found if name.startswith("Gate: action ") and name.endswith("threshold")]
    assert own == [f"Gate: {label} threshold" for label in many[:MAX_ACTIONS]]
    assert ("hall", "Bed: fall") in found
    assert len(found["hall", "Gate: action started"]["event_types"]) == 174


def test_ids_are_unique_whatever_the_names_of_the_zones() -> None:
    names = ["".join(name) for length in (1, 2, 3, 4) for name in itertools.product("a._-", repeat=length)]
    names = [*(name for name in names if name[0] == "a"), "action", "a_action", "zone", "zone_a", "threshold"]
    config = discovery_site("component", zones=[{"name": name} for name in names])
    documents = parsed(config, ["倒水"])
    assert len({document["unique_id"] for document in documents.values()}) == len(documents)
    assert len(documents) > 8 * len(names)
    shuffled = parsed(discovery_site("component", zones=[{"name": name} for name in reversed(names)]), ["倒水"])
    assert {topic: one["unique_id"] for topic, one in shuffled.items()} == {
        topic: one["unique_id"] for topic, one in documents.items()
    }, "the order of the zones changes no id"


def test_a_document_removes_the_entities_that_only_an_earlier_one_has() -> None:
    zoned, plain = (documents(one, same_labels(one, ["up"])) for one in (site(), discovery_site("device")))
    host, hall = zoned
    for before, after in ((zoned, plain), (plain, zoned)):
        sent = removing(after, before)
        assert list(sent) == [host, hall]
        assert sent[host] == after[host]
        was, now, both = (json.loads(one[hall])["components"] for one in (before, after, sent))
        gone = {key: {"platform": one["platform"]} for key, one in was.items() if key not in now}
        assert gone
        assert both == now | gone
        assert removing(after, sent) == sent, "a connection may have missed it"
        assert list(json.loads(removing(before, sent)[hall])["components"])[: len(was)] == list(was), "it has returned"


def test_a_document_without_an_earlier_one_or_of_one_entity_removes_nothing() -> None:
    """What is on a topic of its own is removed with that."""
    for form in ("device", "component"):
        zoned, plain = (documents(one, same_labels(one, ["up"])) for one in (site(form), discovery_site(form)))
        assert removing(plain, {}) == removing(plain, plain) == plain
        assert (removing(plain, zoned) == plain) == (form == "component")
