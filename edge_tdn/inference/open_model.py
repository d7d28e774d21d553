"""Open the models and runtimes that a configuration names: verified, compiled, self-tested; and check their parity."""

import logging
import time
from pathlib import Path

from edge_tdn.config.resolved_zones import ModelChoice, runtime_choice
from edge_tdn.config.tables import Config
from edge_tdn.errors import ConfigError, ModelError
from edge_tdn.inference.open_runtime import AUTO, open_runtime
from edge_tdn.inference.runtime import Runtime, UnavailableDeviceError, build_name
from edge_tdn.manifest import Model, find_model, not_a_folder, open_model
from edge_tdn.permission import SERVED_MODELS, remedy
from edge_tdn.process.malloc import trim
from edge_tdn.verdict import recorded_claim, recorded_comparison

log = logging.getLogger(__name__)


def open_configured_model(config: Config, base: Path, choice: ModelChoice | None = None) -> Model:
    """Return the verified model of a choice, by default of [runtime]. `base`: folder of relative paths.

    Raises ConfigError if it names no folder, or one that this user may not read; ModelError if the model is invalid.
    """
    choice = choice or runtime_choice(config)
    folder = find_model(choice.model, base)
    if reason := not_a_folder(folder):
        raise ConfigError(config.fault(choice.model_keys, choice.model, f"{folder}: {reason}"))
    try:  # a link that is changed later must not mix the files of two models
        return open_model(folder.resolve() if folder.is_symlink() else folder)
    except ModelError as error:
        if not isinstance(error.__cause__, PermissionError):
            raise
        file = error.__cause__.filename
        reason = f"{file}: {error.__cause__.strerror}; {remedy(folder, SERVED_MODELS)}"
        raise ConfigError(config.fault(choice.model_keys, choice.model, reason)) from error


def open_configured_runtime(
    config: Config, model: Model, cache: Path | None = None, choice: ModelChoice | None = None
) -> Runtime:
    """Return the runtime of a choice, by default of [runtime], compiled and self-tested.

    `cache`: folder of compiled graphs.
    """
    settings, choice = config.runtime, choice or runtime_choice(config)
    began = time.monotonic()
    has = dict.fromkeys(name.removeprefix("cuda-") for name in model.manifest.precisions)
    if choice.precision not in has:
        reason = f"the model {model.manifest.id} has: {', '.join(has)}"
        if choice.precision_keys[0] == "camera" and choice.precision == settings.precision:
            reason += "; that of [runtime] holds where a zone has no `precision` of its own"
        raise ConfigError(config.fault(choice.precision_keys, choice.precision, reason))
    try:
        runtime = open_runtime(model, choice.precision, settings.device, settings.threads, cache)
    except UnavailableDeviceError as error:
        if settings.device == AUTO:
            raise
        reason = f'{error}; "auto" takes the first device that works'
        raise ConfigError(config.fault(["runtime", "device"], settings.device, reason)) from error
    trim()
    log.info(
        "model=%s precision=%s device=%s ready in %.1f s, self-test passed",
        model.manifest.id,
        runtime.precision,
        runtime.device,
        time.monotonic() - began,
    )
    return runtime


def warn_of_doubt(model: Model, precision: str, device: str) -> None:
    """Log a warning for a precision that is in doubt; it serves nevertheless."""
    if in_doubt(model, precision, device):
        comparison = recorded_comparison(model, build_name(precision, device))
        log.warning("model=%s precision=%s device=%s parity: %s", model.manifest.id, precision, device, comparison)


def in_doubt(model: Model, precision: str, device: str) -> bool:
    """Return True unless a precision was found equal to PyTorch or within its limits on this device."""
    name = build_name(precision, device)
    claim = recorded_claim(model, name)
    return claim is None or not claim.holds or model.manifest.parity[name].device != device
