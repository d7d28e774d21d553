"""What can go wrong, as a tree. Every message says what happened, where, and what to do next.

EdgeTdnError
├── ConfigError       the configuration file: a key, a value            exit 78
├── ModelError        a model folder or checkpoint: files, shapes       exit 78
├── DeviceError       the device that computes: no memory left          exit 71
├── SourceError       a camera, file or URL gives no pictures           exit 66
└── BrokerError       the MQTT broker cannot be reached or refuses      exit 69
"""

from typing import Literal


class EdgeTdnError(Exception):
    """Base of all errors that a user can cause or mend; shown without a traceback."""

    exit_status = 1


class ConfigError(EdgeTdnError):
    exit_status = 78  # EX_CONFIG: systemd must not restart on it


class ModelError(EdgeTdnError):
    exit_status = 78


class DeviceError(EdgeTdnError):
    exit_status = 71  # EX_OSERR: systemd may try again, there may be memory then


class SourceError(EdgeTdnError):
    """`state` is what the camera's status says from now on."""

    exit_status = 66  # EX_NOINPUT

    def __init__(
        self,
        message: str,
        state: Literal["unreachable", "unauthorized", "stalled", "frozen", "ended"] = "unreachable",
    ) -> None:
        super().__init__(message)
        self.state = state


class BrokerError(EdgeTdnError):
    exit_status = 69  # EX_UNAVAILABLE


def last_line(error: BaseException) -> str:
    """What a library says after its own call stack; of an error without words, what it is."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
