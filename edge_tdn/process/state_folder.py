"""The folder for what has to survive a restart."""

import os
from pathlib import Path


def state_folder() -> Path:
    """Return the state directory of systemd, or else of the user. It has a folder for each host."""
    if given := os.environ.get("STATE_DIRECTORY"):  # several folders are separated by colons
        return Path(given.split(":")[0])
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "edge-tdn"
