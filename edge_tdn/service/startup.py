"""Opens everything that the daemon serves with."""

import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from edge_tdn.actions.decider import interrupted
from edge_tdn.chosen_models import ChosenModels
from edge_tdn.config.credentials import Access, broker_access, check_camera_access
from edge_tdn.config.tables import Config
from edge_tdn.delivery.mqtt import Connection, Inbox, Message
from edge_tdn.delivery.outbox.folder import outbox_folder
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.delivery.publisher import Publisher
from edge_tdn.delivery.stopwatch import Observe
from edge_tdn.delivery.topic_record import TopicRecord
from edge_tdn.demo.demo_clip import demo_clip
from edge_tdn.demo.demo_scenes import DEMO
from edge_tdn.hub.hub import Hub
from edge_tdn.inference.scheduler import Scheduler
from edge_tdn.messages import ActionEvent
from edge_tdn.networks import NetworkOpener, warn_of_doubts
from edge_tdn.process.state_folder import state_folder
from edge_tdn.service.control import Control
from edge_tdn.service.running import Running, Shared
from edge_tdn.service.timing import DaemonTiming

log = logging.getLogger(__name__)

MAX_PACKET_BYTES = 65_536  # that a broker may send: a command, our own status
LAST_EVENTS = 200  # of a camera, among which an action that was under way when the daemon was killed has its last one


def open_running(
    config: Config,
    networks: NetworkOpener,
    path: Path | None,
    timing: DaemonTiming,
    stop: threading.Event,
    publisher_failed: Callable[[BaseException], None],
    runtime_failed: Callable[[BaseException], None],
    boot: str,
    observe: Observe | None = None,
    hub: Hub | None = None,
) -> Running:
    """Return everything that is served, not started yet. EdgeTdnError: something cannot be opened.

    `path`: of the configuration, if it is a file. `publisher_failed`, `runtime_failed`: called with the error that ends
    that thread too early, on that thread. `boot`: random, new with every start. `hub`: for the page, if there is one.
    """
    base = networks.base
    warn_of_includes(config)
    opened = networks.open_all(config, ChosenModels.of(config, base))
    warn_of_doubts(opened.all)
    access = broker_access(config.broker, base)
    check_camera_access(config, base)
    draw_demo(config)
    folder = outbox_folder(config.outbox.folder, config.host, base)
    outbox = Outbox(folder, config.outbox)
    for camera in outbox.cameras:
        _end_interrupted(outbox, camera, base / config.record.folder)
    publisher = Publisher(
        config.base_topic,
        boot,
        outbox,
        partial(connect, config, access),
        publisher_failed,
        lambda topic, payload: control.handle(topic, payload),
        observe,
        timing.publisher,
        TopicRecord(folder, path, state_folder()) if folder else None,
    )
    control = Control(publisher)
    scheduler = Scheduler(runtime_failed, timing.scheduler)
    shared = Shared(networks, boot, publisher, scheduler, control, observe, hub)
    running = Running(shared, config, access, opened, timing, stop)
    running.announce(config)
    return running


def connect(config: Config, access: Access, will: Callable[[int], Message], inbox: Inbox) -> Connection:
    """Open a connection to the broker. A new start takes over the old session, and its last will with it."""
    return Connection(config.broker, f"edge-tdn-{config.host}", access, will, inbox, MAX_PACKET_BYTES)


def warn_of_includes(config: Config) -> None:
    """Log the patterns of `include` that match no file: settings that all hosts share may be missing."""
    for remark in config.file.unmatched:
        log.warning("%s", remark)


def draw_demo(config: Config) -> None:
    """Draw the demo's clip if a camera plays it: now, while no camera waits for it and Ctrl-C is handled."""
    if any(camera.source == DEMO for camera in config.camera):
        demo_clip()


def _end_interrupted(outbox: Outbox, camera: str, folder: Path) -> None:
    """Store the ends of actions that were under way when the daemon was killed.

    They name the files in `folder` that were complete then: of a clip that was still written, nothing is left.
    """
    last = outbox.last_seq(camera)
    entries = outbox.replay(camera, last - LAST_EVENTS + 1, last, LAST_EVENTS)
    with suppress(ValidationError):  # written by another version
        ends = interrupted([ActionEvent.model_validate_json(entry.payload) for entry in entries])
        outbox.put([(end.camera, end.seq, _with_complete_files(end, folder).json_bytes()) for end in ends])


def _with_complete_files(event: ActionEvent, folder: Path) -> ActionEvent:
    def complete(name: str | None) -> str | None:
        there = name and os.path.isfile(folder / name)  # noqa: PTH113  (False, too, where the disk fails)
        return name if there else None

    return event.model_copy(update={"snapshot": complete(event.snapshot), "clip": complete(event.clip)})
