"""Examination of the configuration, the models that it names, and the folders that it writes to."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from edge_tdn.capture.address import is_live
from edge_tdn.chosen_models import ChosenModels
from edge_tdn.cli.doctor.finding import Finding, Mark, credential_remedy
from edge_tdn.cli.doctor.units import is_installed, main_pid, protect_home, serving_unit, state_folder
from edge_tdn.cli.hop_timing import Candidate, measure
from edge_tdn.cli.timing import DEFAULT_DOCTOR, DoctorTiming
from edge_tdn.config.credentials import PUBLIC, Access, broker_access
from edge_tdn.config.fault import EVERY_KEY, Keys
from edge_tdn.config.folders import WRITABLE, existing_parent, is_writable
from edge_tdn.config.load import load
from edge_tdn.config.resolved_zones import ModelChoice, all_zones, model_choices, resolved_zones
from edge_tdn.config.tables import CREDENTIAL, BrokerConfig, CameraConfig, Config
from edge_tdn.config.web_table import WebConfig
from edge_tdn.delivery.outbox.folder import lock_holder_pid, outbox_folder
from edge_tdn.delivery.tls import tls_context
from edge_tdn.demo.demo_scenes import DEMO
from edge_tdn.errors import ConfigError, EdgeTdnError
from edge_tdn.inference.open_model import in_doubt, open_configured_runtime
from edge_tdn.inference.runtime import Runtime, build_name
from edge_tdn.manifest import Model, find_model, shipped_models
from edge_tdn.networks import Network, NetworkOpener, OpenedNetworks
from edge_tdn.permission import SECRET_REMEDY, SERVED_MODELS, is_hidden, is_unreadable, remedy
from edge_tdn.recording.verify import verify as verify_record
from edge_tdn.service.verify import check_label_folder, outbox_writable
from edge_tdn.verdict import recorded_comparison

MAX_LOAD = 0.8  # share of the runtime's time, above which it cannot catch up after a delay
BYTES_PER_MB = 1_000_000
FAILED = ConfigError.exit_status


class SiteExamination:
    """Examines a configuration, and keeps what the other examinations need. `base` is the folder of relative paths."""

    def __init__(self, path: Path, timing: DoctorTiming = DEFAULT_DOCTOR) -> None:
        self._path, self._timing = path, timing
        self.base = path.parent
        self.config: Config | None = None
        self.access: Access | None = None  # None: the credentials cannot be read
        self.chosen: ChosenModels | None = None  # None: a model cannot be opened
        self.holder: int | None = None  # process id of this configuration's daemon
        self._state: Path | None = None  # state directory of the service; None: that of this process

    def configuration(self) -> Iterator[Finding]:
        """Examine the file. Sets `config` if it is valid, and `access` if the credentials can be read."""
        try:
            config = self.config = load(self._path)
        except ConfigError as error:
            yield Finding("configuration", "failed", str(error), EVERY_KEY, FAILED)
            return
        unit = serving_unit(self._path, self._timing)
        if "STATE_DIRECTORY" not in os.environ:  # else this is the environment of a service
            self._state = state_folder(unit)
        folder = self._outbox(config)
        self.holder = lock_holder_pid(folder) if folder else None
        if self.holder is None:  # the folder may be closed to this user
            self.holder = main_pid(unit)
        cameras = "1 camera" if len(config.camera) == 1 else f"{len(config.camera)} cameras"
        yield Finding("configuration", "ok", f"{self._path}: host {config.host}, {cameras}")
        try:
            access = broker_access(config.broker, self.base)
            if config.broker.tls:
                tls_context(access)
            self.access = access
        except ConfigError as error:
            yield Finding("credentials", "failed", str(error), credential_remedy(str(error)), FAILED)

    def networks(self, config: Config, timing: DoctorTiming) -> Iterator[Finding]:
        """Examine the models: their files, compilation, self-test against PyTorch's results, and speed on this host."""
        compiled_s = []

        def open_timed(config: Config, model: Model, cache: Path | None, choice: ModelChoice) -> Runtime:
            began = time.monotonic()
            runtime = open_configured_runtime(config, model, cache, choice)
            compiled_s.append(time.monotonic() - began)
            return runtime

        try:
            self.chosen = chosen = ChosenModels.of(config, self.base)
            for model in dict.fromkeys(chosen.models.values()):
                about = f"{model.manifest.id}: {model.manifest.classes} labels"
                yield Finding("model", "ok", f"{about}, its files are unchanged since the export")
            with NetworkOpener(self.base, open_timed, cached=False).opened(config, chosen) as networks:
                for network, seconds in zip(networks.all, compiled_s, strict=True):
                    several = len(networks.all) > 1
                    which = f"{network.ref.id} " if several else ""
                    memory = f", some {network.memory_mb:.0f} MB of memory" if several else ""
                    what = f"{which}{network.runtime.precision} on {network.runtime.device}"
                    message = f"{what}: compiled in {seconds:.1f} s{memory}, self-test passed"
                    yield Finding("runtime", "ok", message)
                    yield _parity(network, networks)
                yield from self._speeds(config, networks, timing)
        except EdgeTdnError as error:
            yield Finding("model", "failed", str(error), "", FAILED)

    def frame_rate(self, camera: CameraConfig) -> float:
        """Return the frames per second that the models of a camera need; 0: not known."""
        if self.config is None or self.chosen is None:
            return 0.0
        choices = [zone.choice for zone in resolved_zones(self.config, camera)]
        return max(self.chosen.models[choice].manifest.input.frame_rate for choice in choices)

    def _speeds(self, config: Config, networks: OpenedNetworks, timing: DoctorTiming) -> Iterator[Finding]:
        """Yield how long the clips of each model take, with one verdict on all: they share the device."""
        loads = [self._load(config, network, networks, timing) for network in networks.all]
        total_share = sum(share for _, share in loads)
        together = f"; all models together {total_share:.0%}" if len(loads) > 1 else ""
        measured = "; a daemon was running during this measurement" if self.holder is not None else ""
        mark: Mark = "ok" if total_share <= MAX_LOAD else "warning"
        remedy = (
            "a larger hop, fewer cameras, or faster settings from `edge-tdn bench`; otherwise hops grow by themselves"
        )
        for message, _ in loads:
            yield Finding("speed", mark, message + together + measured, "" if mark == "ok" else remedy)

    def _load(
        self, config: Config, network: Network, networks: OpenedNetworks, timing: DoctorTiming
    ) -> tuple[str, float]:
        """Measure a model. Return a message, and the share of the device's time that its cameras and zones take."""
        runtime, spec = network.runtime, network.model.manifest.input
        measured = Candidate(runtime.precision, runtime.device, config.runtime.threads, "")
        measure(network.model, runtime, measured, time.monotonic() + timing.measure_s)
        encode_s = max(0.0, measured.hop_s(4) - measured.hop_s(1)) / 3
        classify_s = max(0.0, measured.hop_s(1) - encode_s)
        zones = [zone for _, zone in all_zones(config)]
        hops = [zone.hop for zone in zones if networks.of(zone.choice) is network]
        share = sum(encode_s + classify_s / hop for hop in hops) / spec.segment_s
        counted = "zone" if any(zone.name for zone in zones) else "camera"
        takers = f"1 {counted} takes" if len(hops) == 1 else f"{len(hops)} {counted}s take"
        message = (
            f"{_which(network, networks)}a clip takes {measured.hop_s(1) * 1e3:.1f} ms "
            f"(95 %: {measured.p95_s(1) * 1e3:.1f}), a segment comes every {spec.segment_s * 1e3:.0f} ms: "
            f"{takers} {share:.0%} of the device's time, without decoding"
        )
        return message, share

    def folders(self, config: Config) -> Iterator[Finding]:
        """Examine whether the folders can be written to and have room."""
        folder = self._outbox(config)
        if folder is None:
            message = "off: events that the broker has not acknowledged when the daemon ends are lost"
            yield Finding("outbox", "note", message)
        else:
            try:
                writable = self._is_of_service(config) or outbox_writable(config, self.base)
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
                    needed_mb = config.record.max_mb + config.record.min_free_mb
                    keys = "record.max_mb or record.min_free_mb"
                    yield _folder("record", folder, is_writable(folder), needed_mb, keys=keys)
        if config.web.port and config.web.label_folder:
            yield self._label_folder(config)

    def _label_folder(self, config: Config) -> Finding:
        """Return whether clips and models of the page can be written."""
        try:
            check_label_folder(config, self.base)
        except ConfigError as error:
            return Finding("teach", "failed", str(error), "", FAILED)
        folder = self.base / config.web.label_folder
        return Finding("teach", "ok", f"{folder}: writable") if is_writable(folder) else _unwritable("teach", folder)

    def files_of_service(self, config: Config) -> Iterator[Finding]:
        """Examine whether a service with its own user can read the files, where one serves or may be meant to."""
        if not (self._path.resolve().is_relative_to("/etc") or is_installed()):
            return
        home = protect_home(self._path, self._timing)
        hidden = home not in ("no", "read-only")
        for path in (Path(name) for name in config.file.read):
            if is_unreadable(path, hidden):
                yield Finding("service's files", "warning", f"{path}: a service cannot read it", remedy(path))
        for keys, value, path, what_to_do in self._named_files(config):
            if is_unreadable(path, hidden):
                message = config.fault(keys, value, f"{path}: a service cannot read it")
                yield Finding("service's files", "warning", message, what_to_do or remedy(path))
        for keys, value in (
            (["record", "folder"], config.record.folder),
            (["outbox", "folder"], config.outbox.folder),
            (["web", "label_folder"], config.web.label_folder),
        ):
            if home != "no" and value not in ("", "auto", "off") and is_hidden(self.base / value):
                message = config.fault(keys, value, f"{self.base / value}: a service cannot write there")
                yield Finding("service's files", "warning", message, WRITABLE)

    def _named_files(self, config: Config) -> Iterator[tuple[Keys, str, Path, str]]:
        """Yield the keys that name files, their values, the paths, and what to do; empty: make the path readable."""
        for choice in {choice.model: choice for choice in reversed(model_choices(config))}.values():
            model = find_model(choice.model, self.base)
            if not model.is_relative_to(shipped_models()):
                yield choice.model_keys, choice.model, model, remedy(model, SERVED_MODELS)
        tables: list[tuple[Keys, BrokerConfig | WebConfig | CameraConfig]] = [
            (["broker"], config.broker),
            (["web"], config.web),
        ]
        tables += [(["camera", number], camera) for number, camera in enumerate(config.camera)]
        for keys, table in tables:
            source = getattr(table, "source", "")  # of a camera
            if source and not is_live(source) and not source.startswith(DEMO):
                yield [*keys, "source"], source, self.base / source.removeprefix("file://"), ""
            for key in ("password_file", "token_file", "ca_file", "cert_file", "key_file"):
                value = getattr(table, key, "")
                if value and not value.startswith(CREDENTIAL):
                    yield [*keys, key], value, self.base / value, "" if key in PUBLIC else SECRET_REMEDY

    def _outbox(self, config: Config) -> Path | None:
        if self._state and self._is_of_service(config):
            return self._state / config.host
        return outbox_folder(config.outbox.folder, config.host, self.base)

    def _is_of_service(self, config: Config) -> bool:
        """Return whether the outbox is in the state directory of the service, which systemd opens for it alone."""
        return self._state is not None and config.outbox.folder == "auto"


def _folder(
    what: str, folder: Path, writable: bool, needed_mb: float, used: str = "", keys: str = "outbox.max_mb"
) -> Finding:
    """Return what a folder has; `keys`: of the configuration, which determine what it needs."""
    if not writable:
        return _unwritable(what, folder, used)
    free_mb = shutil.disk_usage(existing_parent(folder)).free / BYTES_PER_MB
    message = f"{folder}: {free_mb:,.0f} MB free, at most {needed_mb:g} MB needed{used}"
    if free_mb < needed_mb and not used:
        return Finding(what, "warning", message, f"free some, or lower {keys}")
    return Finding(what, "ok", message)


def _unwritable(what: str, folder: Path, used: str = "") -> Finding:
    owner = f"as the user that the daemon runs as, `ls -ld {existing_parent(folder)}` and correct its owner or mode"
    return Finding(what, "warning", f"{folder}: user {os.getuid()} cannot write there{used}", owner)


def _which(network: Network, networks: OpenedNetworks) -> str:
    """Return the beginning of a message that is about one of several networks; empty: there is only one."""
    return f"{network.ref.id} {network.ref.precision}: " if len(networks.all) > 1 else ""


def _parity(network: Network, networks: OpenedNetworks) -> Finding:
    model, runtime = network.model, network.runtime
    doubtful = in_doubt(model, runtime.precision, runtime.device)
    comparison = recorded_comparison(model, build_name(runtime.precision, runtime.device))
    return Finding("parity", "warning" if doubtful else "ok", f"{_which(network, networks)}{comparison}")
