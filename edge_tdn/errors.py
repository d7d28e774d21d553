"""The exceptions of the project, as a tree. Every message states what happened, where, and what to do next.

EdgeTdnError
├── ConfigError       the configuration is invalid: a key, a value      exit 78
├── ModelError        a model folder or checkpoint is invalid           exit 78
├── DeviceError       the compute device has run out of memory          exit 71
├── SourceError       a camera, file or URL delivers no frames          exit 66
└── BrokerError       the MQTT broker is unreachable or rejects us      exit 69
"""

from typing import Literal


class EdgeTdnError(Exception):
    """The base of all errors that a user can cause or fix; shown without a traceback."""

    exit_status = 1


class ConfigError(EdgeTdnError):
    exit_status = 78  # EX_CONFIG: systemd must not restart the daemon


class ModelError(EdgeTdnError):
    exit_status = 78


class DeviceError(EdgeTdnError):
    exit_status = 71  # EX_OSERR: systemd may restart the daemon, memory may be free again


class SourceError(EdgeTdnError):
    """A failed source; `state` is the state to publish for the camera."""

    exit_status = 66  # EX_NOINPUT

    def __init__(
        self,
        message: str,
        state: Literal["unreachable", "unauthorized", "stalled", "frozen", "ended"] = "unreachable",
    ) -> None:
        super().__init__(message)
        self.state = state


class ExplainedError(SourceError):
    """A failed source whose cause is certain. The text of the error is `cause; remedy`."""

    def __init__(self, cause: str, remedy: str, state: Literal["unreachable", "unauthorized"] = "unreachable") -> None:
        super().__init__(f"{cause}; {remedy}" if remedy else cause, state)
        self.cause = cause
        self.remedy = remedy


class BrokerError(EdgeTdnError):
    exit_status = 69  # EX_UNAVAILABLE


def last_line(error: BaseException) -> str:
    """Return the last line of an error's message, where libraries put it after their call stack, or its type."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def with_type(error: BaseException) -> str:
    """Return an error in one line: what a library or a fault in the code raises with its type, ours without."""
    return last_line(error) if isinstance(error, EdgeTdnError) else f"{type(error).__name__}: {last_line(error)}"
