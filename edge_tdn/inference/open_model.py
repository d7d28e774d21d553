"""Open the model and the runtime that [runtime] names: verified, compiled, self-tested; and check their parity."""

import logging
import time
from pathlib import Path

from edge_tdn.config.tables import Config
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.runtime import Runtime, build_name
from edge_tdn.manifest import Model, find_model, open_model
from edge_tdn.process.malloc import trim
from edge_tdn.shell import command

log = logging.getLogger(__name__)


def open_configured_model(config: Config, base: Path) -> Model:
    """Return the verified model that [runtime] names. `base`: folder of relative paths."""
    return open_model(find_model(config.runtime.model, base))


def open_configured_runtime(config: Config, model: Model, cache: Path | None = None) -> Runtime:
    """Return the runtime that [runtime] describes, compiled and self-tested. `cache`: folder of compiled graphs."""
    settings = config.runtime
    began = time.monotonic()
    runtime = open_runtime(model, settings.precision, settings.device, settings.threads, cache)
    trim()
    log.info(
        "model=%s precision=%s device=%s ready in %.1f s, self-test passed",
        model.manifest.id,
        runtime.precision,
        runtime.device,
        time.monotonic() - began,
    )
    return runtime


def warn_unless_proven(model: Model, precision: str, device: str) -> None:
    """Log a warning for a precision that was not proven equal to PyTorch; it serves nevertheless."""
    reason = unproven(model, precision, device)
    if reason:
        advice = f"`{command('edge-tdn-export', 'parity', model.folder)}` compares it"
        log.warning("model=%s precision=%s %s; %s", model.manifest.id, precision, reason, advice)


def unproven(model: Model, precision: str, device: str) -> str:
    """Return why a precision does not count as proven on a device; empty if it was proven equal to PyTorch there."""
    parity = model.manifest.parity.get(build_name(precision, device))
    if parity is None:
        return "was never proven equal to PyTorch"
    if not parity.proven:
        return "differs from PyTorch by more than its limit"
    return "" if parity.device == device else f"was proven equal to PyTorch on {parity.device}, not on {device}"
