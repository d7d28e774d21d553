"""Check [record] on this machine."""

from pathlib import Path

from edge_tdn.config.tables import RecordConfig
from edge_tdn.errors import ConfigError
from edge_tdn.media import gstreamer


def verify(record: RecordConfig, base: Path) -> None:
    """Raise ConfigError if this machine cannot record as configured. A folder that is absent now may be mounted later.

    `base`: the folder that relative paths start from.
    """
    if record.clip and not gstreamer.available():
        raise ConfigError(record.fault(["record", "clip"], True, gstreamer.how_to_install()))
    folder = base / record.folder
    if record.folder and folder.exists() and not folder.is_dir():
        message = f"{folder} is a file; allowed: a folder, or a new name"
        raise ConfigError(record.fault(["record", "folder"], record.folder, message))
