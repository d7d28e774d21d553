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
from edge_tdn.config.resolved_zones import resolved_zones
from edge_tdn.config.tables import CameraConfig, Config, DecideConfig
from edge_tdn.messages import State

PROJECT = "edge-tdn"
BIRTH_TOPIC, BIRTH = "homeassistant/status", b"online"  # published when Home Assistant has started; its default
ONLINE = "{{ 'online' if value == 'online' else 'offline' }}"  # `stopped` after a clean stop
MAX_ACTIONS = 16  # of a camera or a zone, that have entities of their own
MISSED_UPDATES = 3  # after which an action counts as over, if its end was missed
DELIVERS_PICTURES = "{{ 'online' if value_json.state in ['streaming', 'frozen'] else 'offline' }}"

Entity = dict[str, Any]
Entities = dict[tuple[str, str], Entity]  # (platform, object id) -> the entity's settings
Labels = Mapping[tuple[str, str | None], Sequence[str]]  # (camera, zone) -> those that events may have


@dataclass(frozen=True)
class _Device:
    id: str
    name: str
    model: str
    entities: Entities
    via: str = ""  # id of the device that it is connected to


@dataclass(frozen=True)
class _Place:
    """A camera, or one of its zones: both have the same entities for their actions, on the camera's device."""

    camera: str  # topic prefix
    labels: Sequence[str]  # that its events may have
    actions: Sequence[str]  # those of them that have entities of their own
    decide: DecideConfig
    zone: str | None = None

    @property
    def topic(self) -> str:
        """The prefix of its own topics."""
        return f"{self.camera}/{self.zone}" if self.zone else self.camera

    @property
    def prefix(self) -> str:
        """The first part of its entities' names."""
        return f"{self.zone[0].upper()}{self.zone[1:]}: " if self.zone else ""

    def named(self, name: str) -> str:
        """Return the name of an entity; `name`: that of a camera's."""
        return f"{self.prefix}{name[0].lower()}{name[1:]}" if self.zone else name

    def identified(self, entities: Entities) -> Entities:
        """Return entities with object ids that are unique on the camera's device."""
        prefix = f"zone_{_escaped(self.zone)}_" if self.zone else ""
        return {(platform, prefix + key): entity for (platform, key), entity in entities.items()}

    def from_event(self, condition: str, value: str) -> str:
        """Return a template of the camera's events. Home Assistant ignores what renders to nothing: other events."""
        own = f" and value_json.get('zone') == {_quoted(self.zone)}" if self.zone else ""
        return f"{{% if {condition} and not value_json.replayed{own} %}}{value}{{% endif %}}"

    def from_status(self, value: str, otherwise: str = "") -> str:
        """Return a template of the camera's status. `value`: a template, whose `value_json` is the zone's status.

        `otherwise`: for a status without the zone, as the broker may still have one.
        """
        if not self.zone:
            return value
        own = f"for value_json in value_json.get('zones', []) if value_json.zone == {_quoted(self.zone)}"
        return f"{{% {own} %}}{value}{f'{{% else %}}{otherwise}' if otherwise else ''}{{% endfor %}}"

    def command(self, pairs: str) -> str:
        """Return the template of a command, with its key-value pairs."""
        own = f", 'zone': {_quoted(self.zone)}" if self.zone else ""
        return f"{{{{ {{{pairs}{own}}} | tojson }}}}"


def documents(config: Config, labels: Labels) -> dict[str, bytes]:
    """Return retained JSON documents by topic, the host's first, because the cameras refer to it.

    No documents if discovery is off. `labels`: of each camera and zone; the zone is None where a camera has none.
    """
    settings = config.home_assistant
    if settings.discovery == "off":
        return {}
    form = _one_per_device if settings.discovery == "device" else _one_per_entity
    devices = [_host(config), *(_camera(config, camera, labels) for camera in config.camera)]
    return {
        f"{settings.prefix}/{topic}/config": json.dumps(document, ensure_ascii=False).encode()
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

    entities: Entities = {
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


def _camera(config: Config, table: CameraConfig, labels: Labels) -> _Device:
    base, name, device = config.base_topic, table.name, device_id(config.host, table.name)
    camera, *zones = _places(config, table, labels)
    on_pictures = _available(base, camera.topic)
    on_status = {"state_topic": f"{camera.topic}/status", **_available(base)}  # also while the camera is away
    diagnostic = {**on_status, "entity_category": "diagnostic"}
    threshold = {**on_status, "entity_category": "config", "command_topic": f"{base}/cmd/{name}/set/threshold"}
    picture = config.record.snapshot
    entities = _current_action(camera, on_pictures, picture) | _actions(camera, on_pictures)
    entities |= _thresholds(camera, threshold)
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
        "json_attributes_topic": f"{camera.topic}/status",
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
    entities |= _latency(camera, diagnostic)
    for zone in zones:
        own = _current_action(zone, on_pictures, picture) | _actions(zone, on_pictures)
        entities |= zone.identified(own | _thresholds(zone, threshold) | _latency(zone, diagnostic))
    return _Device(device, name, "Camera", _identified(device, entities), device_id(config.host))


def _places(config: Config, table: CameraConfig, labels: Labels) -> list[_Place]:
    """Return a camera and then its zones.

    A camera with zones has no entities for single actions: its retained label is that of the newest action of all
    zones, and an action of the same name may be active in several.
    """
    topic = f"{config.base_topic}/{table.name}"
    places = []
    for zone in resolved_zones(config, table):
        own = labels[table.name, zone.name]
        places.append(_Place(topic, own, _few(zone.decide, own), zone.decide, zone.name))
    if not table.zone:
        return places
    of_all_zones = list(dict.fromkeys(label for place in places for label in place.labels))
    return [_Place(topic, of_all_zones, [], config.decide), *places]


def _current_action(place: _Place, available: Entity, picture: bool) -> Entities:
    """Return the entities for whatever action is active. `picture`: snapshots are published."""
    entities: Entities = {}
    if picture:
        snapshot = {"name": place.named("Snapshot"), "image_topic": f"{place.topic}/snapshot"}
        entities["image", "snapshot"] = {**snapshot, "content_type": "image/jpeg", **available}
    entities["event", "started"] = {
        "name": place.named("Action started"),
        "state_topic": f"{place.camera}/events",
        "event_types": list(place.labels),
        "value_template": place.from_event(
            "value_json.type == 'start'", "{{ dict(value_json, event_type=value_json.label) | tojson }}"
        ),
        **available,
    }
    entities["binary_sensor", "action"] = {
        "name": place.named("Action"),
        "device_class": "running",
        "state_topic": f"{place.topic}/action",
        "value_template": "{{ 'OFF' if value == 'none' else 'ON' }}",
        **available,
    }
    entities["sensor", "label"] = {
        "name": place.named("Label"),
        "device_class": "enum",
        "options": list(dict.fromkeys(["none", *place.labels])),
        "state_topic": f"{place.topic}/action",
        **available,
    }
    return entities


def _actions(place: _Place, available: Entity) -> Entities:
    """Return a binary sensor for each action, on while it is active.

    With several actions at a time, they follow the events: the retained label is that of the strongest action only.
    """
    decide = place.decide
    entities: Entities = {}
    for label in place.actions:
        sensor: Entity = {"name": f"{place.prefix}{label}", "device_class": "motion", **available}
        if decide.several:
            sensor["state_topic"] = f"{place.camera}/events"
            sensor["value_template"] = place.from_event(
                f"value_json.label == {_quoted(label)}", "{{ 'OFF' if value_json.type == 'end' else 'ON' }}"
            )
            if decide.update_interval_s:
                gap_s = max([decide.merge_gap_s, *(action.merge_gap_s or 0 for action in decide.action)])
                sensor["off_delay"] = math.ceil(MISSED_UPDATES * decide.update_interval_s + gap_s)
        else:
            sensor["state_topic"] = f"{place.topic}/action"
            sensor["value_template"] = f"{{{{ 'ON' if value == {_quoted(label)} else 'OFF' }}}}"
        entities["binary_sensor", f"action_{_key(label)}"] = sensor
    return entities


def _thresholds(place: _Place, settings: Entity) -> Entities:
    """Return a number for the enter threshold of all actions, and one for each action, disabled at first."""
    number = {**settings, "min": 0, "max": 1, "step": 0.01}
    entities: Entities = {}
    entities["number", "threshold"] = {
        "name": place.named("Threshold"),
        **number,
        "value_template": place.from_status("{{ value_json.thresholds.enter }}"),
        "command_template": place.command("'enter': value"),
        "json_attributes_topic": settings["state_topic"],
        "json_attributes_template": place.from_status("{{ {'exit': value_json.thresholds.exit} | tojson }}", "{}"),
    }
    for label in place.actions:
        own = f"value_json.thresholds.actions[{_quoted(label)}]"
        entities["number", f"threshold_{_key(label)}"] = {
            "name": f"{place.prefix}{label} threshold",
            **number,
            "enabled_by_default": False,
            "value_template": place.from_status(f"{{{{ ({own} | default(value_json.thresholds)).enter }}}}"),
            "command_template": place.command(f"'enter': value, 'label': {_quoted(label)}"),
        }
    return entities


def _latency(place: _Place, diagnostic: Entity) -> Entities:
    latency = {
        "name": place.named("Latency"),
        **diagnostic,
        "device_class": "duration",
        "unit_of_measurement": "ms",
        "state_class": "measurement",
        "suggested_display_precision": 0,
        "value_template": place.from_status("{{ value_json.latency_ms }}"),
    }
    return {("sensor", "latency"): latency}


def _few(decide: DecideConfig, labels: Sequence[str]) -> list[str]:
    """Return the actions that have entities of their own: all, or if that is too many, those in [[decide.action]]."""
    actions = [label for label in labels if label != "none"]  # which means that there is no action
    if len(actions) > MAX_ACTIONS:
        configured = [action.name for action in decide.action]
        actions = [label for label in actions if label in configured]
    return actions[:MAX_ACTIONS]


def _quoted(name: str) -> str:
    """Return a label or a zone's name as a string of a template."""
    return json.dumps(name, ensure_ascii=False)


def _key(label: str) -> str:
    """Return a label's part of an id: the same for the same label, whatever the model."""
    return hashlib.sha256(label.encode()).hexdigest()[:8]


def _identified(device: str, entities: Entities) -> Entities:
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

    Every name begins with a letter or a digit, so `_` before one of these separates names; see `_escaped`.
    """
    return "_".join([PROJECT, *map(_escaped, names)])


def _escaped(name: str) -> str:
    """Return a name of the configuration as a part of an id: `__` is `_`, `_-` a dot."""
    return name.replace("_", "__").replace(".", "_-")
