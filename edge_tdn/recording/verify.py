"""Check [record] on this machine."""

from pathlib import Path

from edge_tdn.config.record_table import RecordConfig
from edge_tdn.errors import ConfigError
from edge_tdn.media import gstreamer

WRITABLE = (
    "a service cannot write below /home and /root: name a folder such as /srv/edge-tdn, and let the unit write there "
    "with ReadWritePaths=, see `edge-tdn docs operate`"
)


def verify(record: RecordConfig, base: Path) -> None:
    """Raise ConfigError if this machine cannot record as configured. A folder that is absent now may be mounted later.

    `base`: the folder that relative paths start from.
    """
    if record.clip and not gstreamer.available():
        raise ConfigError(record.fault(["record", "clip"], True, gstreamer.how_to_install()))
    folder = base / record.folder
    try:
        is_file = bool(record.folder) and folder.exists() and not folder.is_dir()
    except OSError as error:
        message = f"{folder}: {error.strerror}; {WRITABLE}"
        raise ConfigError(record.fault(["record", "folder"], record.folder, message)) from error
    if is_file:
        message = f"{folder} is a file; allowed: a folder, or a new name"
        raise ConfigError(record.fault(["record", "folder"], record.folder, message))
