"""What Home Assistant is told, so that it finds the host and its cameras by itself. Pure: a configuration -> documents.

The keys are Home Assistant's own: https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery. Who publishes the
documents retains them, and sends them again when Home Assistant says that it has started.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from edge_tdn import __version__
from edge_tdn.config.tables import Config
from edge_tdn.messages import State

PROJECT = "edge-tdn"
BIRTH_TOPIC, BIRTH = "homeassistant/status", b"online"  # Home Assistant has started; its default, whatever the prefix
ACTION_STARTED = (  # Home Assistant ignores what renders to nothing: other messages, and what is only told again
    "{% if value_json.type == 'start' and not value_json.replayed %}"
    "{{ dict(value_json, event_type=value_json.label) | tojson }}{% endif %}"
)
ONLINE = "{{ 'online' if value == 'online' else 'offline' }}"  # a clean stop says `stopped`
SEES = "{{ 'online' if value_json.state in ['streaming', 'frozen'] else 'offline' }}"

Entity = dict[str, Any]


@dataclass(frozen=True)
class _Device:
    id: str
    name: str
    entities: dict[tuple[str, str], Entity]  # (platform, object) -> the entity's settings
    via: str = ""  # id of the device through which it is reached


def documents(config: Config, labels: Sequence[str]) -> dict[str, bytes]:
    """Topic -> JSON, to be retained; the host's first, because the cameras refer to it. Empty if discovery is off.

    `labels`: those that events may carry.
    """
    wanted = config.home_assistant
    if wanted.discovery == "off":
        return {}
    form = _one_per_device if wanted.discovery == "device" else _one_per_entity
    devices = [_host(config), *(_camera(config, camera.name, labels) for camera in config.camera)]
    return {
        f"{wanted.prefix}/{topic}/config": json.dumps(document, ensure_ascii=False).encode()
        for device in devices
        for topic, document in form(device).items()
    }


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
        "device": {"identifiers": [device.id], "name": device.name, "sw_version": __version__}
        | ({"via_device": device.via} if device.via else {}),
        "origin": {"name": PROJECT, "sw_version": __version__},
    }


def _host(config: Config) -> _Device:
    base, device = config.base_topic, _id(config.host)
    here = {"state_topic": f"{base}/status", "entity_category": "diagnostic", **_available(base)}

    def with_reason(part: str) -> Entity:
        return {
            "value_template": f"{{{{ value_json.{part}.state }}}}",
            "json_attributes_topic": f"{base}/status",
            "json_attributes_template": f"{{{{ value_json.{part} | tojson }}}}",
        }

    def count(key: str, state_class: str) -> Entity:
        return {"value_template": f"{{{{ value_json.outbox.{key} }}}}", "state_class": state_class}

    return _Device(device, config.host, _named(device, {
        ("binary_sensor", "connection"): {
            "name": "Connection", "device_class": "connectivity", "entity_category": "diagnostic",
            "state_topic": f"{base}/availability", "value_template": "{{ 'ON' if value == 'online' else 'OFF' }}",
        },
        ("sensor", "delivery"): {"name": "Delivery", **here, **with_reason("delivery")},
        ("sensor", "outbox"): {"name": "Outbox", **here, **with_reason("outbox")},
        ("sensor", "waiting"): {"name": "Events waiting", **here, **count("waiting", "measurement")},
        ("sensor", "dropped"): {"name": "Events dropped", **here, **count("dropped", "total_increasing")},
        ("sensor", "lost"): {"name": "Events lost", **here, **count("lost", "total_increasing")},
        ("sensor", "model"): {"name": "Model", **here, "value_template": "{{ value_json.model.id }}"},
        ("sensor", "started"): {
            "name": "Started", **here, "device_class": "timestamp", "value_template": "{{ value_json.started_at }}",
        },
    }))  # fmt: skip


def _camera(config: Config, name: str, labels: Sequence[str]) -> _Device:
    base, device = config.base_topic, _id(config.host, name)
    camera = f"{base}/{name}"
    seen = _available(base, camera)
    here = {"state_topic": f"{camera}/status", **_available(base)}  # how a camera is, it says also when it is away
    diagnostic = {**here, "entity_category": "diagnostic"}
    snapshot: dict[tuple[str, str], Entity] = {}
    if config.record.snapshot:
        about = {"name": "Snapshot", "image_topic": f"{camera}/snapshot", "content_type": "image/jpeg"}
        snapshot["image", "snapshot"] = {**about, **seen}
    return _Device(device, name, _named(device, snapshot | {
        ("event", "started"): {
            "name": "Action started", "state_topic": f"{camera}/events", "event_types": list(labels),
            "value_template": ACTION_STARTED, **seen,
        },
        ("binary_sensor", "action"): {
            "name": "Action", "device_class": "running", "state_topic": f"{camera}/action",
            "value_template": "{{ 'OFF' if value == 'none' else 'ON' }}", **seen,
        },
        ("sensor", "label"): {
            "name": "Label", "device_class": "enum", "options": list(dict.fromkeys(["none", *labels])),
            "state_topic": f"{camera}/action", **seen,
        },
        ("switch", "enabled"): {
            "name": "Enabled", **here, "entity_category": "config",
            "command_topic": f"{base}/cmd/{name}/set/enabled", "payload_on": "ON", "payload_off": "OFF",
            "value_template": "{{ 'OFF' if value_json.state == 'disabled' else 'ON' }}",
        },
        ("sensor", "state"): {
            "name": "State", **diagnostic, "device_class": "enum", "options": list(get_args(State)),
            "value_template": "{{ value_json.state }}",
            "json_attributes_topic": f"{camera}/status",
            "json_attributes_template": "{{ {'reason': value_json.reason, 'since': value_json.since} | tojson }}",
        },
        ("sensor", "fps"): {
            "name": "Frame rate", **diagnostic, "unit_of_measurement": "fps", "state_class": "measurement",
            "suggested_display_precision": 1, "value_template": "{{ value_json.fps }}",
        },
        ("sensor", "latency"): {
            "name": "Latency", **diagnostic, "device_class": "duration", "unit_of_measurement": "ms",
            "state_class": "measurement", "suggested_display_precision": 0,
            "value_template": "{{ value_json.latency_ms }}",
        },
    }), _id(config.host))  # fmt: skip


def _named(device: str, entities: dict[tuple[str, str], Entity]) -> dict[tuple[str, str], Entity]:
    return {
        (platform, key): {"unique_id": f"{device}_{key}", "qos": 1, **entity}
        for (platform, key), entity in entities.items()
    }


def _available(base: str, camera: str = "") -> Entity:
    """Available while the daemon is there; with `camera`, its topics' beginning: and while that delivers pictures."""
    topics = [{"topic": f"{base}/availability", "value_template": ONLINE}]
    if camera:
        topics.append({"topic": f"{camera}/status", "value_template": SEES})
    return {"availability": topics, "availability_mode": "all"}


def _id(*names: str) -> str:
    """The project's name and these, of the characters that Home Assistant allows in topics; never the same for others.

    A name begins with a letter or a digit, so that `_` and one of these is where a name ends; `__` is `_`, `_-` a dot.
    """
    return "_".join([PROJECT, *(name.replace("_", "__").replace(".", "_-") for name in names)])
