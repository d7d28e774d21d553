"""A finding of an examination, and a way to start work that may never return."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal, TypeVar

Mark = Literal["ok", "note", "warning", "failed"]
Result = TypeVar("Result")
MIN_CERTIFICATE_DAYS = 21  # a certificate that expires earlier is a warning
SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class Finding:
    """One line of the checklist. `exit_status` is that of a failure; see errors.py."""

    what: str  # was examined
    mark: Mark
    message: str
    remedy: str = ""
    exit_status: int = 0

    def document(self) -> dict[str, object]:
        """Return the finding as a part of the JSON document."""
        return {
            "check": self.what,
            "result": self.mark,
            "message": self.message,
            "remedy": self.remedy,
            "exit_status": self.exit_status,
        }


def credential_remedy(message: str) -> str:
    """Return what to do about a credential that systemd provides to a service only; empty for any other error."""
    if "CREDENTIALS_DIRECTORY" not in message:
        return ""
    return "the service has it; as root: systemd-run --pty -p LoadCredential=NAME:FILE edge-tdn doctor --config ..."


def days_until(time_s: float) -> float:
    """Return the days until a time in seconds since 1970."""
    return (time_s - time.time()) / SECONDS_PER_DAY


def is_loopback(host: str) -> bool:
    """Return True for a name or an address of this machine's own."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def start(work: Callable[[], Result]) -> Future[Result]:
    """Run `work` on a thread that does not keep the process alive: a library may hang on a dead device forever."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # raised where the result is read
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
