"""Home Assistant's MQTT discovery: documents with which it finds the host and its cameras.

Pure: a configuration -> documents. The keys are Home Assistant's own, see
https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery. The publisher retains the documents, and sends them
again when Home Assistant has started.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from edge_tdn import __version__
from edge_tdn.config.tables import Config
from edge_tdn.messages import State

PROJECT = "edge-tdn"
BIRTH_TOPIC, BIRTH = "homeassistant/status", b"online"  # published when Home Assistant has started; its default
ACTION_STARTED = (  # Home Assistant ignores what renders to nothing: other messages, and replayed events
    "{% if value_json.type == 'start' and not value_json.replayed %}"
    "{{ dict(value_json, event_type=value_json.label) | tojson }}{% endif %}"
)
ONLINE = "{{ 'online' if value == 'online' else 'offline' }}"  # `stopped` after a clean stop
MAX_ACTIONS = 16  # of a camera, that have entities of their own
MISSED_UPDATES = 3  # after which an action counts as over, if its end was missed
DELIVERS_PICTURES = "{{ 'online' if value_json.state in ['streaming', 'frozen'] else 'offline' }}"

Entity = dict[str, Any]


@dataclass(frozen=True)
class _Device:
    id: str
    name: str
    model: str
    entities: dict[tuple[str, str], Entity]  # (platform, object id) -> the entity's settings
    via: str = ""  # id of the device that it is connected to


def documents(config: Config, labels: Mapping[tuple[str, str | None], Sequence[str]]) -> dict[str, bytes]:
    """Return retained JSON documents by topic, the host's first, because the cameras refer to it.

    No documents if discovery is off. `labels`: those that events of a camera and its zone may have; the zone is None
    where a camera has none.
    """
    settings = config.home_assistant
    if settings.discovery == "off":
        return {}
    form = _one_per_device if settings.discovery == "device" else _one_per_entity
    devices = [
        _host(config),
        *(_camera(config, camera.name, _of_all_zones(labels, camera.name)) for camera in config.camera),
    ]
    return {
        f"{settings.prefix}/{topic}/config": json.dumps(document, ensure_ascii=False).encode()
        for device in devices
        for topic, document in form(device).items()
    }


def _of_all_zones(labels: Mapping[tuple[str, str | None], Sequence[str]], camera: str) -> list[str]:
    """Return the labels that events of a camera may have, whatever their zone."""
    return list(dict.fromkeys(label for (name, _), own in labels.items() if name == camera for label in own))


def _one_per_device(device: _Device) -> dict[str, Entity]:
    components = {key: {"platform": platform, **entity} for (platform, key), entity in device.entities.items()}
    return {f"device/{device.id}": {**_about(device), "components": components}}


def _one_per_entity(device: _Device) -> dict[str, Entity]:
    return {
        f"{platform}/{device.id}/{key}": {**_about(device), **entity}
        for (platform, key), entity in device.entities.items()
    }


def _about(device: _Device) -> Entity:
    return {
        "device": {
            "identifiers": [device.id],
            "name": device.name,
            "manufacturer": PROJECT,
            "model": device.model,
            "sw_version": __version__,
        }
        | ({"via_device": device.via} if device.via else {}),
        "origin": {"name": PROJECT, "sw_version": __version__},
    }


def _host(config: Config) -> _Device:
    base, device = config.base_topic, device_id(config.host)
    on_status = {"state_topic": f"{base}/status", "entity_category": "diagnostic", **_available(base)}
    connection = {
        "name": "Connection",
        "device_class": "connectivity",
        "entity_category": "diagnostic",
        "state_topic": f"{base}/availability",
        "value_template": "{{ 'ON' if value == 'online' else 'OFF' }}",
    }
    started = {
        "name": "Started",
        **on_status,
        "device_class": "timestamp",
        "value_template": "{{ value_json.started_at }}",
    }

    def with_reason(name: str, part: str) -> Entity:
        return {
            "name": name,
            **on_status,
            "value_template": f"{{{{ value_json.{part}.state }}}}",
            "json_attributes_topic": f"{base}/status",
            "json_attributes_template": f"{{{{ value_json.{part} | tojson }}}}",
        }

    def count(name: str, key: str, state_class: str) -> Entity:
        template = f"{{{{ value_json.outbox.{key} }}}}"
        return {"name": name, **on_status, "value_template": template, "state_class": state_class}

    entities: dict[tuple[str, str], Entity] = {
        ("binary_sensor", "connection"): connection,
        ("sensor", "delivery"): with_reason("Delivery", "delivery"),
        ("sensor", "outbox"): with_reason("Outbox", "outbox"),
        ("sensor", "waiting"): count("Events waiting", "waiting", "measurement"),
        ("sensor", "dropped"): count("Events dropped", "dropped", "total_increasing"),
        ("sensor", "lost"): count("Events lost", "lost", "total_increasing"),
        ("sensor", "model"): {"name": "Model", **on_status, "value_template": "{{ value_json.model.id }}"},
        ("sensor", "started"): started,
    }
    return _Device(device, config.host, "Camera host", _identified(device, entities))


def _camera(config: Config, name: str, labels: Sequence[str]) -> _Device:
    base, device = config.base_topic, device_id(config.host, name)
    camera = f"{base}/{name}"
    on_pictures = _available(base, camera)
    on_status = {"state_topic": f"{camera}/status", **_available(base)}  # also while the camera is away
    diagnostic = {**on_status, "entity_category": "diagnostic"}
    entities: dict[tuple[str, str], Entity] = {}
    if config.record.snapshot:
        picture = {"name": "Snapshot", "image_topic": f"{camera}/snapshot", "content_type": "image/jpeg"}
        entities["image", "snapshot"] = {**picture, **on_pictures}
    entities["event", "started"] = {
        "name": "Action started",
        "state_topic": f"{camera}/events",
        "event_types": list(labels),
        "value_template": ACTION_STARTED,
        **on_pictures,
    }
    entities["binary_sensor", "action"] = {
        "name": "Action",
        "device_class": "running",
        "state_topic": f"{camera}/action",
        "value_template": "{{ 'OFF' if value == 'none' else 'ON' }}",
        **on_pictures,
    }
    entities["sensor", "label"] = {
        "name": "Label",
        "device_class": "enum",
        "options": list(dict.fromkeys(["none", *labels])),
        "state_topic": f"{camera}/action",
        **on_pictures,
    }
    entities |= _actions(config, name, labels, on_pictures)
    entities |= _thresholds(config, name, labels, on_status)
    entities["switch", "enabled"] = {
        "name": "Enabled",
        **on_status,
        "entity_category": "config",
        "command_topic": f"{base}/cmd/{name}/set/enabled",
        "payload_on": "ON",
        "payload_off": "OFF",
        "value_template": "{{ 'OFF' if value_json.state == 'disabled' else 'ON' }}",
    }
    entities["sensor", "state"] = {
        "name": "State",
        **diagnostic,
        "device_class": "enum",
        "options": list(get_args(State)),
        "value_template": "{{ value_json.state }}",
        "json_attributes_topic": f"{camera}/status",
        "json_attributes_template": "{{ {'reason': value_json.reason, 'since': value_json.since} | tojson }}",
    }
    entities["sensor", "fps"] = {
        "name": "Frame rate",
        **diagnostic,
        "unit_of_measurement": "fps",
        "state_class": "measurement",
        "suggested_display_precision": 1,
        "value_template": "{{ value_json.fps }}",
    }
    entities["sensor", "latency"] = {
        "name": "Latency",
        **diagnostic,
        "device_class": "duration",
        "unit_of_measurement": "ms",
        "state_class": "measurement",
        "suggested_display_precision": 0,
        "value_template": "{{ value_json.latency_ms }}",
    }
    return _Device(device, name, "Camera", _identified(device, entities), device_id(config.host))


def _actions(config: Config, name: str, labels: Sequence[str], available: Entity) -> dict[tuple[str, str], Entity]:
    """Return a binary sensor for each action, on while it is active.

    With several actions at a time, they follow the events: the retained label is that of the strongest action only.
    """
    camera, decide = f"{config.base_topic}/{name}", config.decide
    entities: dict[tuple[str, str], Entity] = {}
    for label in _few(config, labels):
        sensor: Entity = {"name": label, "device_class": "motion", **available}
        if decide.several:
            sensor["state_topic"] = f"{camera}/events"
            sensor["value_template"] = (
                f"{{% if value_json.label == {_quoted(label)} and not value_json.replayed %}}"
                "{{ 'OFF' if value_json.type == 'end' else 'ON' }}{% endif %}"
            )
            if decide.update_interval_s:
                gap_s = max([decide.merge_gap_s, *(action.merge_gap_s or 0 for action in decide.action)])
                sensor["off_delay"] = math.ceil(MISSED_UPDATES * decide.update_interval_s + gap_s)
        else:
            sensor["state_topic"] = f"{camera}/action"
            sensor["value_template"] = f"{{{{ 'ON' if value == {_quoted(label)} else 'OFF' }}}}"
        entities["binary_sensor", f"action_{_key(label)}"] = sensor
    return entities


def _thresholds(config: Config, name: str, labels: Sequence[str], on_status: Entity) -> dict[tuple[str, str], Entity]:
    """Return a number for the enter threshold of all actions, and one for each action, disabled at first."""
    number = {
        **on_status,
        "entity_category": "config",
        "command_topic": f"{config.base_topic}/cmd/{name}/set/threshold",
        "min": 0,
        "max": 1,
        "step": 0.01,
    }
    entities: dict[tuple[str, str], Entity] = {}
    entities["number", "threshold"] = {
        "name": "Threshold",
        **number,
        "value_template": "{{ value_json.thresholds.enter }}",
        "command_template": "{{ {'enter': value} | tojson }}",
        "json_attributes_topic": on_status["state_topic"],
        "json_attributes_template": "{{ {'exit': value_json.thresholds.exit} | tojson }}",
    }
    for label in _few(config, labels):
        own = f"value_json.thresholds.actions[{_quoted(label)}]"
        entities["number", f"threshold_{_key(label)}"] = {
            "name": f"{label} threshold",
            **number,
            "enabled_by_default": False,
            "value_template": f"{{{{ ({own} | default(value_json.thresholds)).enter }}}}",
            "command_template": f"{{{{ {{'enter': value, 'label': {_quoted(label)}}} | tojson }}}}",
        }
    return entities


def _few(config: Config, labels: Sequence[str]) -> list[str]:
    """Return the actions that have entities of their own: all, or if that is too many, those in [[decide.action]]."""
    actions = [label for label in labels if label != "none"]  # which means that there is no action
    if len(actions) > MAX_ACTIONS:
        configured = [action.name for action in config.decide.action]
        actions = [label for label in actions if label in configured]
    return actions[:MAX_ACTIONS]


def _quoted(label: str) -> str:
    """Return a label as a string of a template."""
    return json.dumps(label, ensure_ascii=False)


def _key(label: str) -> str:
    """Return a label's part of an id: the same for the same label, whatever the model."""
    return hashlib.sha256(label.encode()).hexdigest()[:8]


def _identified(device: str, entities: dict[tuple[str, str], Entity]) -> dict[tuple[str, str], Entity]:
    return {
        (platform, key): {"unique_id": f"{device}_{key}", "qos": 1, **entity}
        for (platform, key), entity in entities.items()
    }


def _available(base: str, camera: str = "") -> Entity:
    """Make an entity available while the daemon is online and, with `camera` (a topic prefix), delivers pictures."""
    topics = [{"topic": f"{base}/availability", "value_template": ONLINE}]
    if camera:
        topics.append({"topic": f"{camera}/status", "value_template": DELIVERS_PICTURES})
    return {"availability": topics, "availability_mode": "all"}


def device_id(*names: str) -> str:
    """Return a unique id of the characters that Home Assistant allows in topics: the project's name and these names.

    Every name begins with a letter or a digit, so `_` before one of these separates names; `__` is `_`, `_-` a dot.
    """
    return "_".join([PROJECT, *(name.replace("_", "__").replace(".", "_-") for name in names)])
