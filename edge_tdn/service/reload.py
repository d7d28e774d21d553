"""A configuration that is read again: `prepare` tries everything that it asks for, `apply` brings it into force.

`prepare` works beside what serves: it reads the file, checks the cameras' addresses, opens the model, and compiles and
tests it if it is another. Only then `apply` changes anything, so that whatever is wrong leaves the daemon as it was.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge_tdn.chosen_models import ChosenModels
from edge_tdn.config.credentials import Access, broker_access
from edge_tdn.config.load import load
from edge_tdn.config.tables import CameraConfig, Config
from edge_tdn.errors import last_line
from edge_tdn.inference.engine import Engine
from edge_tdn.inference.lane import Lane
from edge_tdn.inference.runtime import is_out_of_memory, out_of_memory
from edge_tdn.inference.successor import Successor
from edge_tdn.networks import Network, OpenedNetworks, warn_of_doubts
from edge_tdn.process.log import configure
from edge_tdn.process.malloc import trim
from edge_tdn.recording.action_recorder import ActionRecorder
from edge_tdn.service.camera import Camera
from edge_tdn.service.config_changes import Changes, changes, in_force
from edge_tdn.service.running import Running, finish_recorders, join_all
from edge_tdn.service.startup import connect, draw_demo, warn_of_includes
from edge_tdn.service.verify import verify


@dataclass(frozen=True, eq=False)
class Plan:
    """A configuration that can be brought into force, and what it needs."""

    config: Config
    changes: Changes
    access: Access
    networks: OpenedNetworks
    opened: tuple[Network, ...]  # of these, those that were opened for this plan; the others serve already

    @property
    def note(self) -> str:
        """The keys that only a restart brings into force, as a remark; empty: none."""
        return f"a restart is needed for {', '.join(self.changes.later)}" if self.changes.later else ""

    def discard(self) -> None:
        """Close the networks that were opened for this plan, which is not brought into force."""
        for network in self.opened:
            network.runtime.close()


def prepare(path: Path, running: Running) -> Plan:
    """Return the plan for the file at `path`. EdgeTdnError: it is wrong, and nothing stays open."""
    new = load(path)
    warn_of_includes(new)
    verify(new, path)
    # cameras that ended for good, or that an earlier reload stopped before it failed, get another chance
    failed = {camera.name for camera in running.cameras if camera.failure or camera.stopped}
    serving = running.config.model_copy(update={"camera": [camera.table for camera in running.cameras]})
    changed, config = changes(serving, new, failed, running.pending), in_force(running.config, new)
    base = running.shared.networks.base
    access = broker_access(config.broker, base)
    chosen = ChosenModels.of(config, base)
    draw_demo(config)
    open_already = () if changed.runtime else running.networks.all
    networks = running.shared.networks.open_all(config, chosen, open_already)  # last: nothing can fail while it is open
    known = {network.runtime for network in open_already}
    opened = tuple(network for network in networks.all if network.runtime not in known)
    return Plan(config, changed, access, networks, opened)


def apply(plan: Plan, running: Running) -> None:
    """Bring a plan into force. If the first step fails, nothing has changed, and the plan's new runtimes are closed.

    If a later one fails, the plan's configuration stays `running.pending`: the next reload does what is missing.
    """
    running.make_room(plan.config)
    _change_networks(plan, running)
    running.pending = plan.config
    try:
        before = _stop_cameras(plan, running)
    finally:
        _close_networks(running)  # before cameras are opened: their memory may be needed
    _start_cameras(plan, running, before)
    _replace_recorders(plan, running)
    running.announce(plan.config)
    if plan.changes.connection or plan.access != running.access:
        _reconnect(plan, running)
    running.config, running.access, running.pending = plan.config, plan.access, None
    configure(plan.config.log.level, plan.config.log.format)


def _change_networks(plan: Plan, running: Running) -> None:
    """Change the cameras that stay to the plan's settings and networks, between two turns.

    Cameras that leave keep their settings. EdgeTdnError: a new runtime fails; the previous ones continue to serve.
    """
    tables = {table.name: table for table in plan.config.camera}
    staying = [camera for camera in running.cameras if camera.name not in plan.changes.leaving]

    def change_cameras() -> None:
        zones = [camera.prepare_zones(own) for camera, own in zip(staying, settings, strict=True)]  # may fail
        for camera, own, new in zip(staying, settings, zones, strict=True):
            camera.change(own, new)

    try:
        settings = [running.settings(tables[camera.name], plan.config, plan.networks) for camera in staying]
        moves: dict[Lane, Engine] = {}
        for camera, own in zip(staying, settings, strict=True):
            moves |= camera.moves(own)
        running.shared.scheduler.exchange(Successor(moves), change_cameras)
    except Exception as error:
        plan.discard()
        if is_out_of_memory(error):
            device = plan.networks.first.runtime.device
            raise out_of_memory(device, f"computing a segment: {last_line(error)}") from error
        raise
    running.networks = plan.networks
    running.open_networks += plan.opened
    warn_of_doubts(plan.opened)


def _close_networks(running: Running) -> None:
    """Close the networks that neither the configuration nor a lane uses any more."""
    used = {network.engine for network in running.networks.all} | running.shared.scheduler.engines
    unused = [network for network in running.open_networks if network.engine not in used]
    running.open_networks = tuple(network for network in running.open_networks if network.engine in used)
    for network in unused:
        network.runtime.close()
    if unused:
        trim()


def _stop_cameras(plan: Plan, running: Running) -> dict[str, Camera]:
    """Stop the cameras that leave, before others open the same device. Return all that were served, by name."""
    changed, timing = plan.changes, running.timing
    before = {camera.name: camera for camera in running.cameras}
    leaving = [before[name] for name in changed.leaving]
    for camera in leaving:
        camera.stop("removed from the configuration" if camera.name in changed.removed else "its table has changed")
    join_all(leaving, time.monotonic() + timing.join_s)
    for camera in leaving:
        running.shared.scheduler.run_between_turns(camera.leave)
    finish_recorders([camera.recorder for camera in leaving], timing.record_s)
    for camera in leaving:
        camera.dismiss(camera.name in changed.removed)
    return before


def _start_cameras(plan: Plan, running: Running, before: Mapping[str, Camera]) -> None:
    """Start the cameras that are new or restarted. `before`: all cameras that were served, by name."""
    changed = plan.changes
    tables = {table.name: table for table in plan.config.camera}
    coming = _new_cameras([tables[name] for name in changed.added + changed.restarted], plan, running)
    for name in changed.restarted:
        coming[name].set_enabled(before[name].enabled)  # a camera that was switched off by command stays off
    running.serve([{**before, **coming}[name] for name in tables])
    running.start(list(coming.values()))


def _new_cameras(tables: Sequence[CameraConfig], plan: Plan, running: Running) -> dict[str, Camera]:
    """Return cameras with these tables, by name; or none, if one of them cannot be opened."""
    opened: dict[str, Camera] = {}
    try:
        for table in tables:
            opened[table.name] = running.new_camera(table, plan.config)
    except BaseException:
        for camera in opened.values():
            running.shared.scheduler.run_between_turns(camera.discard)
        raise
    return opened


def _replace_recorders(plan: Plan, running: Running) -> None:
    """Replace the recorders of cameras that keep running, where they cannot record as planned."""
    new = plan.changes.added + plan.changes.restarted
    staying = [camera for camera in running.cameras if camera.name not in new]
    replaced: list[ActionRecorder | None] = []
    try:
        for camera in staying:
            if plan.changes.recorders or not camera.recorder_follows():
                replaced.append(camera.replace_recorder())
    finally:
        finish_recorders(replaced, running.timing.record_s)


def _reconnect(plan: Plan, running: Running) -> None:
    """Replace the connection to the broker."""
    elsewhere = plan.config.broker.address != running.config.broker.address
    running.shared.publisher.reconnect(partial(connect, plan.config, plan.access), elsewhere)
