"""The file that `edge-tdn bench --json` writes: this machine, its software, the model, and a row per candidate.

docs/hardware.md is made of such files. They name no host, user or address.
"""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_tdn import __version__
from edge_tdn.cli.hop_timing import HOPS, Candidate
from edge_tdn.errors import ConfigError, last_line
from edge_tdn.inference.cpu_features import cpu_flags
from edge_tdn.inference.openvino import device_names
from edge_tdn.manifest import Member, Model

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
BUSY_SHARE = 0.25  # of the cores
FEATURES = {  # instruction sets that decide how fast a network is: Linux's name, and ours
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx_vnni": "VNNI",
    "avx512_vnni": "VNNI",
    "avx512_bf16": "BF16",
    "amx_tile": "AMX",
    "asimddp": "dot product",
    "i8mm": "I8MM",
    "bf16": "BF16",
    "sve": "SVE",
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Machine(_Part):
    processor: str = Field(min_length=1, description="as the system names it")
    board: str = Field(default="", description="of a single-board computer")
    architecture: str
    features: tuple[str, ...]
    cores: int = Field(ge=1, description="that the process may use")
    memory_mb: int = Field(ge=1)
    load: float = Field(ge=0, description="processes that ran or waited in the minute before")
    devices: dict[str, str] = Field(description="OpenVINO's devices besides the CPU, with their names")
    system: str
    kernel: str

    @property
    def busy(self) -> bool:
        """Other work took a good part of the processor, so that the figures are too slow."""
        return self.load > BUSY_SHARE * self.cores


class MeasuredModel(_Part):
    id: str
    sha256: str
    network: str = Field(description="the ResNet of each network, and its width if that is not 1")
    segments: int
    width: int = Field(description="of the input, pixels")
    height: int
    segment_s: Positive = Field(description="seconds from one segment to the next")


class MeasuredRow(_Part):
    """One way to run the model. Keys of the tables are hops, in segments."""

    precision: str
    device: str
    threads: int = Field(ge=0, description="0: the device has no such setting")
    parity: str
    golden_error: float
    hops: dict[int, int] = Field(description="number of measurements")
    median_ms: dict[int, Positive]
    p95_ms: dict[int, Positive]
    cameras: dict[int, int] = Field(description="served if the host does nothing else")


class BenchReport(_Part):
    schema_: Literal[1] = Field(default=1, alias="schema")
    measured_at: str = Field(description="ISO 8601, UTC")
    edge_tdn: str
    software: dict[str, str] = Field(description="versions")
    machine: Machine
    model: MeasuredModel
    rows: tuple[MeasuredRow, ...] = Field(min_length=1, description="the fastest hop first")


def bench_report(machine: Machine, model: Model, measured: Sequence[Candidate]) -> BenchReport:
    """Return the report of what was measured. `machine`: this one, as it was before."""
    manifest, spec = model.manifest, model.manifest.input
    return BenchReport(
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        edge_tdn=__version__,
        software={"python": platform.python_version(), "openvino": version("openvino")},
        machine=machine,
        model=MeasuredModel(
            id=manifest.id,
            sha256=model.sha256,
            network=" + ".join(_network(member) for member in manifest.members),
            segments=spec.segments,
            width=spec.width,
            height=spec.height,
            segment_s=spec.segment_s,
        ),
        rows=tuple(
            MeasuredRow(
                precision=one.precision,
                device=one.device,
                threads=one.threads,
                parity=one.parity,
                golden_error=one.golden_error or 0.0,
                hops={hop: len(one.seconds[hop]) for hop in HOPS},
                median_ms={hop: round(one.hop_s(hop) * 1e3, 3) for hop in HOPS},
                p95_ms={hop: round(one.p95_s(hop) * 1e3, 3) for hop in HOPS},
                cameras={hop: one.cameras(hop, spec.segment_s) for hop in HOPS},
            )
            for one in measured
        ),
    )


def read_report(path: Path) -> BenchReport:
    """Read a report. ConfigError: it is not one; the message names file and key."""
    try:
        return BenchReport.model_validate_json(path.read_bytes())
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"])) or "content"
        raise ConfigError(f"{path}: {key}: {fault['msg']}; write it again with edge-tdn bench --json") from error
    except OSError as error:
        raise ConfigError(f"{path}: {last_line(error)}") from error


def this_machine() -> Machine:
    """Describe this machine."""
    flags = cpu_flags()
    return Machine(
        processor=_processor(),
        board=_read("/proc/device-tree/model").strip("\0 \n"),
        architecture=platform.machine(),
        features=tuple(dict.fromkeys(name for flag, name in FEATURES.items() if flag in flags)),
        cores=len(os.sched_getaffinity(0)),
        load=round(os.getloadavg()[0], 2),
        memory_mb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        devices=device_names(),
        system=_system(),
        kernel=platform.release(),
    )


def _network(member: Member) -> str:
    width = float(str(member.network.get("width", 1)))
    return f"{member.network.get('arch', '')}" + (f" x {width:g}" if width != 1 else "")


def _processor() -> str:
    """Return the processor's name: as x86 has it in /proc/cpuinfo, else the architecture."""
    lines = [line.partition(":") for line in _read("/proc/cpuinfo").splitlines()]
    names = {name.strip(): " ".join(value.split()) for name, _, value in reversed(lines)}
    return names.get("model name") or names.get("Model") or platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
