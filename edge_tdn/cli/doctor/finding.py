"""What an examination finds, and how one is run that may never come back."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal, TypeVar

Mark = Literal["ok", "note", "warning", "failed"]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Finding:
    """One line of the checklist. `exit_status`: of a failure, see errors.py."""

    what: str
    mark: Mark
    said: str
    remedy: str = ""
    exit_status: int = 0


def of_a_service(said: str) -> str:
    """What to do where a credential is missing that systemd hands to a service alone; empty where none is."""
    if "CREDENTIALS_DIRECTORY" not in said:
        return ""
    return "a service has it; as root: systemd-run --pty -p LoadCredential=NAME:FILE edge-tdn doctor --config ..."


def start(work: Callable[[], Result]) -> Future[Result]:
    """Runs it on a thread that the process does not wait for: a library may hang over a dead device for ever."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # whoever waits is told
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
