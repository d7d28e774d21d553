"""What is wrong with a configuration on this machine, without connecting, and but for its model."""

import os
from pathlib import Path

from edge_tdn.capture.open_capture import verify as verify_source
from edge_tdn.config.tables import Config, broker_access, check_camera_access
from edge_tdn.delivery.outbox.folder import outbox_folder
from edge_tdn.delivery.tls import tls_context
from edge_tdn.errors import ConfigError, SourceError


def verify(config: Config, path: Path) -> None:
    """ConfigError: the broker's files, folders, sources. `path`: of the file; relative paths begin beside it."""
    access = broker_access(config.broker, path.parent)
    if config.broker.tls:
        tls_context(access)
    check_camera_access(config, path.parent)
    if config.record.wanted or config.record.folder:
        from edge_tdn.recording import recorder  # 4 MB: fonts, encoders

        recorder.verify(config.record, path.parent)
    outbox_writable(config, path.parent)
    faults = []
    for number, camera in enumerate(config.camera):
        for key, one in (("source", camera), ("record_source", camera.recorded)):
            try:
                if one.source:
                    verify_source(one, path.parent)
            except SourceError as error:
                faults.append(f"{path}: camera[{number}].{key}: {error}")
    if faults:
        raise ConfigError("\n".join(faults))


def outbox_writable(config: Config, base: Path) -> bool:
    """ConfigError: its folder cannot be one. Its lock is not taken: a daemon may run."""
    folder = outbox_folder(config.outbox.folder, config.host, base)
    if folder is None:
        return True
    there = next(path for path in (folder, *folder.absolute().parents) if os.access(path, os.F_OK))
    if not there.is_dir():
        message = f"{there} is a file; allowed: a folder, or a new name"
        raise ConfigError(config.fault(["outbox", "folder"], config.outbox.folder, message))
    return os.access(there, os.W_OK | os.X_OK)
