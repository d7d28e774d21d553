"""The other end of $NOTIFY_SOCKET, and threads that hang."""

import select
import socket
import threading
from contextlib import suppress

import pytest

from tests.support.waiting import POLL_S, eventually


class NotifySocket:
    """Receives the notifications for systemd. `name`: a path, or @name for an abstract socket.

    A thread takes them, since the kernel keeps ten: a sender then waits for a second, and drops what it sends.
    """

    def __init__(self, name: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(name.replace("@", "\0", 1))
        self._socket.setblocking(False)
        self._messages: list[str] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._take, name="notify socket", daemon=True)
        self._thread.start()

    def messages(self) -> list[str]:
        """Return all messages so far."""
        with self._lock:
            while True:
                try:
                    self._messages.append(self._socket.recv(4096).decode())
                except BlockingIOError:
                    return self._messages.copy()

    def _take(self) -> None:
        while not self._closed.is_set():
            if select.select([self._socket], [], [], POLL_S)[0]:
                self.messages()

    def wait_for(self, message: str) -> None:
        eventually(lambda: message in self.messages(), describe=lambda: f"no {message!r}, but {self._messages[-10:]}")

    def wait_for_another(self, message: str) -> None:
        """Wait until `message` comes once more than it has come so far."""
        count = self.messages().count(message)
        eventually(lambda: self.messages().count(message) > count, describe=lambda: f"{self._messages[-10:]}")

    def clear(self) -> None:
        """Forget all messages so far."""
        with self._lock:
            with suppress(BlockingIOError):
                while self._socket.recv(4096):
                    pass
            self._messages.clear()

    def wait_until_fed(self) -> None:
        """Forget all messages, and wait until the watchdog is fed again."""
        self.clear()
        self.wait_for("WATCHDOG=1")

    def was_starved(self) -> bool:
        """Return whether the main loop looked at least once without feeding the watchdog before the last trigger."""
        messages = self.messages()
        triggered = len(messages) - messages[::-1].index("WATCHDOG=trigger")
        before = messages[:triggered]
        fed = len(before) - before[::-1].index("WATCHDOG=1") if "WATCHDOG=1" in before else 0
        return sum(message.startswith("STATUS=") for message in before[fed:]) > 1  # one after each look

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        self._socket.close()


class Trap:
    """Methods that do not return, one at a time, while they are held."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._held = ""
        self._released = threading.Event()
        self.caught: set[str] = set()  # names of the threads that are in it

    def set(self, owner: type, method: str) -> None:
        original = getattr(owner, method)

        def trapped(*arguments: object) -> object:
            if self._held == method:
                self.caught.add(threading.current_thread().name)
                self._released.wait()
            return original(*arguments)

        self._monkeypatch.setattr(owner, method, trapped)

    def hold(self, method: str) -> None:
        self._released.clear()
        self.caught.clear()
        self._held = method

    def release(self) -> None:
        self._held = ""
        self._released.set()

    close = release
