"""Check [record] on this machine."""

from pathlib import Path

from edge_tdn.config.folders import check_folder
from edge_tdn.config.record_table import RecordConfig
from edge_tdn.errors import ConfigError
from edge_tdn.media import gstreamer


def verify(record: RecordConfig, base: Path) -> None:
    """Raise ConfigError if this machine cannot record as configured.

    `base`: the folder that relative paths start from.
    """
    if record.clip and not gstreamer.available():
        raise ConfigError(record.fault(["record", "clip"], True, gstreamer.how_to_install()))
    if record.folder:
        check_folder(record, ["record", "folder"], record.folder, base)
