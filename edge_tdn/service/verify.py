"""Check a configuration on this machine, without connecting anywhere. The model is not looked at."""

from pathlib import Path

from edge_tdn.capture.open_capture import verify as verify_source
from edge_tdn.config.credentials import broker_access, check_camera_access, page_access
from edge_tdn.config.folders import check_folder, check_no_file, is_writable
from edge_tdn.config.tables import Config
from edge_tdn.delivery.outbox.folder import outbox_folder
from edge_tdn.delivery.tls import tls_context
from edge_tdn.errors import ConfigError, SourceError
from edge_tdn.hub.page import check_installed
from edge_tdn.permission import remedy
from edge_tdn.recording.verify import verify as verify_recording


def verify(config: Config, path: Path) -> None:
    """Raise ConfigError if the broker's files, a folder, a source or what the page needs is wrong.

    `path`: of the file; relative paths start beside it.
    """
    access = broker_access(config.broker, path.parent)
    if config.broker.tls:
        tls_context(access)
    check_camera_access(config, path.parent)
    if config.record.enabled or config.record.folder:
        verify_recording(config.record, path.parent)
    outbox_writable(config, path.parent)
    if config.web.port:
        check_installed(config)
        page_access(config, path.parent)
        check_label_folder(config, path.parent)
        _verify_trainer(config)
    faults = []
    for number, camera in enumerate(config.camera):
        for key, one in (("source", camera), ("record_source", camera.recorded)):
            try:
                if one.source:
                    verify_source(one, path.parent)
            except SourceError as error:
                denied = (
                    f"; {remedy(Path(error.__cause__.filename))}"
                    if isinstance(error.__cause__, PermissionError)
                    else ""
                )
                faults.append(config.fault(["camera", number, key], {}, f"{error}{denied}"))
    if faults:
        raise ConfigError("\n".join(faults))


def check_label_folder(config: Config, base: Path) -> None:
    """Raise ConfigError if the folder of clips and models cannot be one. `base`: where relative paths start."""
    if config.web.label_folder:
        check_folder(config, ["web", "label_folder"], config.web.label_folder, base)


def _verify_trainer(config: Config) -> None:
    """Raise ConfigError if a trainer is named that does not exist."""
    trainer = config.web.trainer
    if trainer:
        from edge_tdn.service.models_folder import find_trainer  # which imports all that serves

        if find_trainer(trainer):
            return
        message = "no such program; allowed: the path of edge-tdn-train, or its name in PATH; empty: the one here"
        raise ConfigError(config.fault(["web", "trainer"], trainer, message))


def outbox_writable(config: Config, base: Path) -> bool:
    """Return whether the outbox may be written to. ConfigError: its folder cannot be one.

    Its lock is not taken: a daemon may be running.
    """
    folder = outbox_folder(config.outbox.folder, config.host, base)
    if folder is None:
        return True
    check_no_file(config, ["outbox", "folder"], config.outbox.folder, folder)
    return is_writable(folder)
