"""Examination of the configuration, the model that it names, and the folders that it writes to."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from edge_tdn.actions.labels import check_names
from edge_tdn.cli.doctor.finding import Finding, credential_remedy
from edge_tdn.cli.hop_timing import Candidate, measure
from edge_tdn.cli.timing import DoctorTiming
from edge_tdn.config.credentials import Access, broker_access
from edge_tdn.config.fault import EVERY_KEY
from edge_tdn.config.load import load
from edge_tdn.config.tables import Config
from edge_tdn.delivery.outbox.folder import lock_holder_pid, outbox_folder
from edge_tdn.delivery.tls import tls_context
from edge_tdn.errors import ConfigError, EdgeTdnError
from edge_tdn.inference.open_model import in_doubt, open_configured_model, open_configured_runtime
from edge_tdn.inference.runtime import Runtime, build_name
from edge_tdn.manifest import Model
from edge_tdn.recording.verify import verify as verify_record
from edge_tdn.service.verify import outbox_writable
from edge_tdn.verdict import recorded_comparison

MAX_LOAD = 0.8  # share of the runtime's time, above which it cannot catch up after a delay
BYTES_PER_MB = 1_000_000
FAILED = ConfigError.exit_status


class SiteExamination:
    """Examines a configuration, and keeps what the other examinations need. `base` is the folder of relative paths."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.base = path.parent
        self.config: Config | None = None
        self.access: Access | None = None  # None: the credentials cannot be read
        self.frame_rate = 0.0  # of the model, frames per second; 0: not known
        self.holder: int | None = None  # process id of the daemon that uses the outbox

    def configuration(self) -> Iterator[Finding]:
        """Examine the file. Sets `config` if it is valid, and `access` if the credentials can be read."""
        try:
            config = self.config = load(self._path)
        except ConfigError as error:
            yield Finding("configuration", "failed", str(error), EVERY_KEY, FAILED)
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
            yield Finding("credentials", "failed", str(error), credential_remedy(str(error)), FAILED)

    def network(self, config: Config, timing: DoctorTiming) -> Iterator[Finding]:
        """Examine the model: its files, compilation, self-test against PyTorch's results, and speed on this host."""
        try:
            model = open_configured_model(config, self.base)
            spec = model.manifest.input
            self.frame_rate = spec.frame_rate
            check_names(config, model.labels, model.manifest.background)
            message = f"{model.manifest.id}: {model.manifest.classes} labels, its files are unchanged since the export"
            yield Finding("model", "ok", message)
            began = time.monotonic()
            with closing(open_configured_runtime(config, model)) as runtime:
                message = f"{runtime.precision} on {runtime.device}: compiled in {time.monotonic() - began:.1f} s"
                yield Finding("runtime", "ok", f"{message}, self-test passed")
                yield _parity(model, runtime)
                yield self._speed(config, model, runtime, timing)
        except EdgeTdnError as error:
            yield Finding("model", "failed", str(error), "", FAILED)

    def _speed(self, config: Config, model: Model, runtime: Runtime, timing: DoctorTiming) -> Finding:
        measured = Candidate(runtime.precision, runtime.device, config.runtime.threads, "")
        measure(model, runtime, measured, time.monotonic() + timing.measure_s)
        encode_s = max(0.0, measured.hop_s(4) - measured.hop_s(1)) / 3
        classify_s = max(0.0, measured.hop_s(1) - encode_s)
        segment_s = model.manifest.input.segment_s
        load_share = sum(encode_s + classify_s / camera.hop for camera in config.camera) / segment_s
        cameras = "1 camera takes" if len(config.camera) == 1 else f"{len(config.camera)} cameras take"
        message = (
            f"a clip takes {measured.hop_s(1) * 1e3:.1f} ms (95 %: {measured.p95_s(1) * 1e3:.1f}), a segment comes "
            f"every {segment_s * 1e3:.0f} ms: {cameras} {load_share:.0%} of the device's time, without decoding"
        )
        if self.holder is not None:
            message += "; a daemon was running during this measurement"
        if load_share <= MAX_LOAD:
            return Finding("speed", "ok", message)
        remedy = (
            "a larger hop, fewer cameras, or faster settings from `edge-tdn bench`; otherwise hops grow by themselves"
        )
        return Finding("speed", "warning", message, remedy)

    def folders(self, config: Config) -> Iterator[Finding]:
        """Examine whether the folders can be written to and have room."""
        folder = outbox_folder(config.outbox.folder, config.host, self.base)
        if folder is None:
            message = "off: events that the broker has not acknowledged when the daemon ends are lost"
            yield Finding("outbox", "note", message)
        else:
            try:
                writable = outbox_writable(config, self.base)
            except ConfigError as error:
                yield Finding("outbox", "failed", str(error), "", FAILED)
            else:
                used = "" if self.holder is None else f"; a daemon is running (process {self.holder or 'elsewhere'})"
                yield _folder("outbox", folder, writable, config.outbox.max_mb, used)
        if config.record.enabled or config.record.folder:
            try:
                verify_record(config.record, self.base)
            except ConfigError as error:
                yield Finding("record", "failed", str(error), "", FAILED)
            else:
                if config.record.folder:
                    folder = self.base / config.record.folder
                    writable = os.access(_existing_parent(folder), os.W_OK | os.X_OK)
                    needed_mb = config.record.max_mb + config.record.min_free_mb
                    yield _folder("record", folder, writable, needed_mb, keys="record.max_mb or record.min_free_mb")


def _folder(
    what: str, folder: Path, writable: bool, needed_mb: float, used: str = "", keys: str = "outbox.max_mb"
) -> Finding:
    """Return what a folder has; `keys`: of the configuration, which determine what it needs."""
    existing = _existing_parent(folder)
    if not writable:
        owner = f"as the user that the daemon runs as, `ls -ld {existing}` and correct its owner or mode"
        return Finding(what, "warning", f"{folder}: user {os.getuid()} cannot write there{used}", owner)
    free_mb = shutil.disk_usage(existing).free / BYTES_PER_MB
    message = f"{folder}: {free_mb:,.0f} MB free, at most {needed_mb:g} MB needed{used}"
    if free_mb < needed_mb and not used:
        return Finding(what, "warning", message, f"free some, or lower {keys}")
    return Finding(what, "ok", message)


def _existing_parent(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _parity(model: Model, runtime: Runtime) -> Finding:
    doubtful = in_doubt(model, runtime.precision, runtime.device)
    comparison = recorded_comparison(model, build_name(runtime.precision, runtime.device))
    return Finding("parity", "warning" if doubtful else "ok", comparison)
