"""The configuration, the model that it names, and the folders that it writes to."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from edge_tdn.actions.labels import check_names
from edge_tdn.cli.bench import Candidate, measure
from edge_tdn.cli.check import told_parity
from edge_tdn.cli.doctor.finding import Finding, of_a_service
from edge_tdn.config.tables import Access, Config, broker_access, load
from edge_tdn.delivery.outbox.folder import lock_holder_pid, outbox_folder
from edge_tdn.delivery.tls import tls_context
from edge_tdn.errors import ConfigError, EdgeTdnError
from edge_tdn.inference.open_model import open_configured_model, open_configured_runtime, unproven
from edge_tdn.inference.runtime import Runtime, build_name
from edge_tdn.manifest import Model
from edge_tdn.recording.recorder import verify as verify_record
from edge_tdn.service.verify import outbox_writable

MEASURE_S = 1.0
BUSY = 0.8  # of the runtime's time: beyond that a hiccup is no longer caught up with
MB = 1_000_000
WRONG = ConfigError.exit_status


class Site:
    """A configuration, and what was found out of it. `base`: where its relative paths begin."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.base = path.parent
        self.config: Config | None = None
        self.access: Access | None = None  # None: it cannot be had
        self.frame_rate = 0.0  # that the model wants; 0: not known
        self.holder: int | None = None  # process id of the daemon that uses the outbox

    def configuration(self) -> Iterator[Finding]:
        """Sets `config` where it is right, and `access` where that can be read."""
        try:
            config = self.config = load(self._path)
        except ConfigError as error:
            yield Finding("configuration", "failed", str(error), "configs/reference.toml explains every key", WRONG)
            return
        folder = outbox_folder(config.outbox.folder, config.host, self.base)
        self.holder = lock_holder_pid(folder) if folder else None
        cameras = "1 camera" if len(config.camera) == 1 else f"{len(config.camera)} cameras"
        yield Finding("configuration", "ok", f"{self._path}: host {config.host}, {cameras}")
        try:
            access = broker_access(config.broker, self.base)
            if config.broker.tls:
                tls_context(access)
            self.access = access
        except ConfigError as error:
            yield Finding("credentials", "failed", str(error), of_a_service(str(error)), WRONG)

    def network(self, config: Config) -> Iterator[Finding]:
        """Its files, compiled, tested against PyTorch's results, and how fast it is here."""
        try:
            model = open_configured_model(config, self.base)
            spec = model.manifest.input
            self.frame_rate = spec.frame_rate
            check_names(config, model.labels, model.manifest.background)
            said = f"{model.manifest.id}: {model.manifest.classes} labels, its files are as they were exported"
            yield Finding("model", "ok", said)
            began = time.monotonic()
            with closing(open_configured_runtime(config, model)) as runtime:
                said = f"{runtime.precision} on {runtime.device}: compiled in {time.monotonic() - began:.1f} s"
                yield Finding("runtime", "ok", f"{said}, self-test passed")
                yield _parity(model, runtime)
                yield self._speed(config, model, runtime)
        except EdgeTdnError as error:
            yield Finding("model", "failed", str(error), "", WRONG)

    def _speed(self, config: Config, model: Model, runtime: Runtime) -> Finding:
        here = Candidate(runtime.precision, runtime.device, config.runtime.threads, "")
        measure(model, runtime, here, time.monotonic() + MEASURE_S)
        encode_s = max(0.0, here.hop_s(4) - here.hop_s(1)) / 3
        classify_s = max(0.0, here.hop_s(1) - encode_s)
        segment_s = model.manifest.input.segment_s
        share = sum(encode_s + classify_s / camera.hop for camera in config.camera) / segment_s
        cameras = "1 camera takes" if len(config.camera) == 1 else f"{len(config.camera)} cameras take"
        said = (
            f"a clip takes {here.hop_s(1) * 1e3:.1f} ms (95 %: {here.p95_s(1) * 1e3:.1f}), a segment comes every "
            f"{segment_s * 1e3:.0f} ms: {cameras} {share:.0%} of the device's time, and decoding comes on top"
        )
        if self.holder is not None:
            said += "; a daemon is running beside this measurement"
        if share <= BUSY:
            return Finding("speed", "ok", said)
        remedy = "a larger hop, fewer cameras, or what `edge-tdn bench` finds faster; else hops grow by themselves"
        return Finding("speed", "warning", said, remedy)

    def folders(self, config: Config) -> Iterator[Finding]:
        """Whether they can be written to, and have room."""
        folder = outbox_folder(config.outbox.folder, config.host, self.base)
        if folder is None:
            yield Finding("outbox", "note", "off: what the broker has not taken when the daemon ends is lost")
        else:
            try:
                writable = outbox_writable(config, self.base)
            except ConfigError as error:
                yield Finding("outbox", "failed", str(error), "", WRONG)
            else:
                used = "" if self.holder is None else f"; a daemon is running (process {self.holder or 'elsewhere'})"
                yield _folder("outbox", folder, writable, config.outbox.max_mb, used)
        if config.record.wanted or config.record.folder:
            try:
                verify_record(config.record, self.base)
            except ConfigError as error:
                yield Finding("record", "failed", str(error), "", WRONG)
            else:
                if config.record.folder:
                    folder = self.base / config.record.folder
                    yield _folder("record", folder, os.access(_there(folder), os.W_OK | os.X_OK), config.record.max_mb)


def _folder(what: str, folder: Path, writable: bool, most_mb: float, used: str = "") -> Finding:
    there = _there(folder)
    if not writable:
        owner = f"as the user that the daemon runs as, `ls -ld {there}` and mend its owner or mode"
        return Finding(what, "warning", f"{folder}: user {os.getuid()} cannot write there{used}", owner)
    free_mb = shutil.disk_usage(there).free / MB
    said = f"{folder}: {free_mb:,.0f} MB free, at most {most_mb:g} MB wanted{used}"
    if free_mb < most_mb and not used:
        return Finding(what, "warning", said, f"free some, or lower {what}.max_mb")
    return Finding(what, "ok", said)


def _there(folder: Path) -> Path:
    """The folder, or the one in which it would be made."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _parity(model: Model, runtime: Runtime) -> Finding:
    doubtful = unproven(model, runtime.precision, runtime.device)
    said = told_parity(model, build_name(runtime.precision, runtime.device))
    return Finding("parity", "warning" if doubtful else "ok", said)
