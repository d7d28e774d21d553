"""Names that newcomers bring from other programs, or find natural, and the key or the answer that they look for.

Frigate, Viseron, Home Assistant, zigbee2mqtt, mosquitto, ffmpeg and DL Streamer use these names; none of them is near
enough in spelling to the right key, or a wrong key is nearer.
"""

from collections.abc import Mapping, Sequence

from edge_tdn.spelling import nearest

Tables = Mapping[str, Mapping[str, str]]  # name of a table, "" for the top of the file -> its keys -> description
TABLE_ARRAYS = {
    "camera": "for each camera, and at least one",
    "camera.zone": "for each zone",
    "decide.action": "for each action",
}
USER_AND_PASSWORD = {"user": "username", "login": "username", "password": "password_file", "pass": "password_file"}
MODEL_RATE = "the model defines how many frames per second it reads; reduce work with `hop`, or in the camera"
SIZE = "the model defines its input's size; choose the camera's stream with `source`, a part of it with `region`"
SMOOTHING_CLIPS = (
    "replaced by smoothing_s, seconds instead of clips: multiply the clips by the seconds from one to the next, which "
    "are hop * 4 / 15 for the shipped model; 3 clips are smoothing_s = 0.8"
)
SCORES = {
    "threshold": "enter_threshold",
    "confidence": "enter_threshold",
    "min_confidence": "enter_threshold",
    "min_score": "enter_threshold",
    "score": "enter_threshold",
    "start_threshold": "enter_threshold",
    "end_threshold": "exit_threshold",
    "hysteresis": "exit_threshold",
    "cooldown": "cool_down_s",
    "debounce": "cool_down_s",
    "min_duration": "min_length_s",
    "max_duration": "max_length_s",
    "timeout": "max_length_s",
    "merge": "merge_gap_s",
}
SYNONYMS: Mapping[str, Mapping[str, str]] = {
    "": {
        "mqtt": "broker",
        "cameras": "camera",
        "model": "runtime",
        "detect": "decide",
        "actions": "decide",
        "snapshots": "record",
        "recording": "record",
        "prometheus": "metrics",
        "ui": "web",
        "http": "web",
        "gui": "web",
        "page": "web",
        "homeassistant": "home_assistant",
        "hostname": "host",
        "name": "host",
        "queue": "outbox",
    },
    "broker": {
        **USER_AND_PASSWORD,
        "host": "url",
        "server": "url",
        "address": "url",
        "port": "url",
        "tls": "url",
        "topic": "base",
        "topic_prefix": "base",
        "base_topic": "base",
        "prefix": "base",
        "version": "protocol",
        "keepalive": "keepalive_s",
        "ca_certs": "ca_file",
        "ca": "ca_file",
        "cert": "cert_file",
        "key": "key_file",
        "client_id": "it is made of `host`, which is unique among your hosts",
        "qos": "events are published with QoS 1",
        "retain": "states are retained, events are not",
    },
    "runtime": {
        "weights": "model",
        "path": "model",
        "gpu": "device",
        "type": "device",
        "backend": "device",
        "dtype": "precision",
        "quantization": "precision",
        "num_threads": "threads",
        "labels": "they are in the model folder; choose among them with `only` in [decide]",
        "fps": MODEL_RATE,
    },
    "decide": {
        **SCORES,
        "average": "smoothing_s",
        "window": "smoothing_s",
        "smoothing": "smoothing_s",
        "smoothing_clips": SMOOTHING_CLIPS,
        "labels": "only",
        "objects": "only",
        "include": "only",
        "exclude": "ignore",
        "multiple": "several",
    },
    "decide.action": {**SCORES, "label": "name", "action": "name"},
    "outbox": {"path": "folder", "size": "max_mb", "max_size": "max_mb", "max_age": "max_age_h"},
    "home_assistant": {"enabled": "discovery", "discovery_prefix": "prefix", "topic": "prefix"},
    "record": {
        "enabled": "clip",
        "video": "clip",
        "snapshots": "snapshot",
        "path": "folder",
        "output_dir": "folder",
        "pre_capture": "pre_roll_s",
        "post_capture": "post_roll_s",
        "lookback": "pre_roll_s",
        "max_length": "max_clip_s",
        "clip_most_s": "max_clip_s",
        "retain": "the oldest files are deleted above `max_mb`",
        "max_size": "max_mb",
    },
    "metrics": {"bind": "address", "host": "address", "listen": "address", "enabled": "port"},
    "web": {
        "bind": "address",
        "host": "address",
        "listen": "address",
        "enabled": "port",
        "token": "token_file",
        "password": "token_file",
        "certificate": "cert_file",
        "proxy": "trusted_proxy",
        "folder": "label_folder",
        "labels": "label_folder",
        "clips": "label_folder",
        "train": "trainer",
        "training": "trainer",
    },
    "camera": {
        **USER_AND_PASSWORD,
        "rtsp": "source",
        "url": "source",
        "uri": "source",
        "stream": "source",
        "input": "source",
        "path": "source",
        "file": "source",
        "device": "source",
        "address": "source",
        "id": "name",
        "roi": "region",
        "crop": "region",
        "zones": "zone",
        "polygon": "it is a key of a zone: write it below [[camera.zone]]",
        "mask": "it is the `polygon` of a zone: write it below [[camera.zone]]",
        "rotation": "rotate",
        "stride": "hop",
        "skip": "hop",
        "motion": "motion_gate",
        "hwaccel": "hardware",
        "hwaccel_args": "hardware",
        "repeat": "loop",
        "rtsp_transport": "transport",
        "main_stream": "record_source",
        "fps": MODEL_RATE,
        "framerate": MODEL_RATE,
        "width": SIZE,
        "height": SIZE,
        "resolution": SIZE,
        "enabled": "a camera is switched off over MQTT, see `edge-tdn docs events`, or by removing its table",
    },
    "camera.zone": {
        "id": "name",
        "roi": "region",
        "crop": "region",
        "box": "region",
        "coordinates": "polygon",
        "points": "polygon",
        "contour": "polygon",
        "mask": "polygon",
        "weights": "model",
        "stride": "hop",
        "motion": "motion_gate",
        "objects": "`only` in [camera.zone.decide] lists the actions that are reported",
        "only": "write it below [camera.zone.decide]",
        "enter_threshold": "write it below [camera.zone.decide]",
        "exit_threshold": "write it below [camera.zone.decide]",
    },
    "camera.zone.decide": {**SCORES, "labels": "only", "objects": "only", "include": "only", "exclude": "ignore"},
}


def table_array(keys: Sequence[str | int]) -> str:
    """Return the name of the array of tables at `keys`; empty: they lead to something else."""
    name = ".".join(key for key in keys if isinstance(key, str))
    return name if name in TABLE_ARRAYS and isinstance(keys[-1], str) else ""


def suggestion(table: str, name: str, tables: Tables) -> str:
    """Return what the author of an unknown key probably looked for: a key here, the same key elsewhere, or an answer.

    The description of a key follows where its name is another one, because its meaning may be another one, too.
    """
    own = tables[table]
    meant = SYNONYMS.get(table, {}).get(name.casefold(), "")
    if meant in own:
        return f"did you mean {meant!r}?{f' ({own[meant]})' if own[meant] else ''}"
    homes = [other for other, keys in tables.items() if name in keys and other != table]
    return meant or (f"it belongs {' or '.join(map(_place, homes))}" if homes else nearest(name, list(own)))


def _place(table: str) -> str:
    if not table:
        return "to the top of the file, above the first table"
    return f"to [[{table}]]" if table in TABLE_ARRAYS else f"to [{table}]"
