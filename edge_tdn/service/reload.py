"""A configuration that is read again: `prepare` tries everything that it asks for, `apply` brings it into force.

`prepare` works beside what serves: it reads the file, checks the cameras' addresses, opens the model, and compiles and
tests it if it is another. Only then `apply` changes anything, so that whatever is wrong leaves the daemon as it was.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge_tdn.actions.labels import check_names
from edge_tdn.config.credentials import Access, broker_access
from edge_tdn.config.load import load
from edge_tdn.config.tables import CameraConfig, Config
from edge_tdn.errors import last_line
from edge_tdn.inference.open_model import open_configured_model, warn_of_doubt
from edge_tdn.inference.runtime import is_out_of_memory, out_of_memory
from edge_tdn.inference.successor import Successor
from edge_tdn.process.log import configure
from edge_tdn.process.malloc import trim
from edge_tdn.recording.action_recorder import ActionRecorder
from edge_tdn.service.camera import Camera
from edge_tdn.service.config_changes import Changes, changes, in_force
from edge_tdn.service.network import Network
from edge_tdn.service.running import Running, finish_recorders, join_all
from edge_tdn.service.startup import connect, draw_demo, warn_of_includes
from edge_tdn.service.verify import verify


@dataclass(frozen=True, eq=False)
class Plan:
    """A configuration that can be brought into force, and what it needs."""

    config: Config
    changes: Changes
    access: Access
    network: Network
    new_runtime: bool  # the network's runtime was opened for this plan; else it is the one that serves

    @property
    def note(self) -> str:
        """The keys that only a restart brings into force, as a remark; empty: none."""
        return f"a restart is needed for {', '.join(self.changes.later)}" if self.changes.later else ""


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
    model = open_configured_model(config, base)
    check_names(config, model.labels, model.manifest.background)
    draw_demo(config)
    new_runtime = changed.runtime or model.sha256 != running.network.model.sha256
    if new_runtime:  # last, so that nothing can fail while it is open
        network = running.shared.networks.open(config, model)
    else:
        network = Network(model, model.ref(config.runtime.precision), running.network.runtime)
    return Plan(config, changed, access, network, new_runtime)


def apply(plan: Plan, running: Running) -> None:
    """Bring a plan into force. If the first step fails, nothing has changed, and the plan's runtime is closed.

    If a later one fails, the plan's configuration stays `running.pending`: the next reload does what is missing.
    """
    _change_network(plan, running)
    running.pending = plan.config
    _replace_cameras(plan, running)
    _replace_recorders(plan, running)
    running.announce(plan.config)
    if plan.changes.connection or plan.access != running.access:
        _reconnect(plan, running)
    running.config, running.access, running.pending = plan.config, plan.access, None
    configure(plan.config.log.level, plan.config.log.format)


def _change_network(plan: Plan, running: Running) -> None:
    """Have all cameras decide as planned from the next turn on, with another runtime if there is one."""

    def change_cameras() -> None:
        spec = plan.network.model.manifest.input
        pipelines = [camera.pipeline_for(spec) for camera in running.cameras]  # this may fail: before any change
        for camera, pipeline in zip(running.cameras, pipelines, strict=True):
            # those that leave have no other table, but they decide as planned until then
            camera.change(running.settings(camera.table, plan.config, plan.network), pipeline)

    if plan.new_runtime:
        _exchange_runtime(plan, running, change_cameras)
    else:
        running.shared.scheduler.run_between_turns(change_cameras)
        running.network = plan.network


def _exchange_runtime(plan: Plan, running: Running, change_cameras: Callable[[], None]) -> None:
    """Let the plan's runtime take over. EdgeTdnError: it fails; the one before serves on."""
    model, runtime = plan.network.model, plan.network.runtime
    try:
        running.shared.scheduler.exchange(Successor(runtime), model.manifest.input, change_cameras)
    except Exception as error:
        runtime.close()
        if is_out_of_memory(error):
            raise out_of_memory(runtime.device, f"computing a segment: {last_line(error)}") from error
        raise
    before, running.network = running.network, plan.network
    before.runtime.close()
    trim()
    warn_of_doubt(model, runtime.precision, runtime.device)


def _replace_cameras(plan: Plan, running: Running) -> None:
    """Stop the cameras that leave, then start those that come: a device can be opened only once."""
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
    tables = {table.name: table for table in plan.config.camera}
    coming = _new_cameras([tables[name] for name in changed.added + changed.restarted], plan, running)
    for name in changed.restarted:
        coming[name].set_enabled(before[name].enabled)  # a camera that was switched off by command stays off
    running.serve([(before | coming)[name] for name in tables])
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
    """Let new recorders take over at the cameras that keep running, where they are others or the model's input is."""
    new = plan.changes.added + plan.changes.restarted
    staying = [camera for camera in running.cameras if camera.name not in new]
    replaced: list[ActionRecorder | None] = []
    try:
        for camera in staying:
            if plan.changes.recorders or not camera.recorder_fits:
                replaced.append(camera.replace_recorder())
    finally:
        finish_recorders(replaced, running.timing.record_s)


def _reconnect(plan: Plan, running: Running) -> None:
    """Let another connection to the broker take over."""
    elsewhere = plan.config.broker.address != running.config.broker.address
    running.shared.publisher.reconnect(partial(connect, plan.config, plan.access), elsewhere)
