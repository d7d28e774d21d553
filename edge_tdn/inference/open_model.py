"""The model and the runtime that [runtime] names: verified, compiled, self-tested; and whether anybody proved it."""

import logging
import time
from pathlib import Path

from edge_tdn.config.tables import Config
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.runtime import Runtime, build_name
from edge_tdn.manifest import Model, find_model, open_model
from edge_tdn.process.malloc import trim

log = logging.getLogger(__name__)


def open_configured_model(config: Config, base: Path) -> Model:
    """The model that [runtime] names, verified."""
    return open_model(find_model(config.runtime.model, base))


def open_configured_runtime(config: Config, model: Model, cache: Path | None = None) -> Runtime:
    """The runtime that [runtime] describes, compiled and self-tested. `cache`: folder of compiled graphs."""
    wanted = config.runtime
    began = time.monotonic()
    runtime = open_runtime(model, wanted.precision, wanted.device, wanted.threads, cache)
    trim()
    log.info(
        "model=%s precision=%s device=%s ready in %.1f s, self-test passed", model.manifest.id, runtime.precision,
        runtime.device, time.monotonic() - began,
    )  # fmt: skip
    return runtime


def warn_unless_proven(model: Model, precision: str, device: str) -> None:
    """A precision that nobody compared with PyTorch serves all the same, but not silently."""
    why = unproven(model, precision, device)
    if why:
        log.warning(
            "model=%s precision=%s %s; `edge-tdn-export parity %s` compares it", model.manifest.id, precision, why,
            model.folder,
        )  # fmt: skip


def unproven(model: Model, precision: str, device: str) -> str:
    """Why nobody may trust this precision there; empty where it was proven equal to PyTorch on that device."""
    parity = model.manifest.parity.get(build_name(precision, device))
    if parity is None:
        return "was never proven equal to PyTorch"
    if not parity.proven:
        return "differs from PyTorch by more than its limit"
    return "" if parity.device == device else f"was proven equal to PyTorch on {parity.device}, not on {device}"
