"""Events, scores and statuses -> MQTT topics. One thread; what others hand over is only queued.

Retained messages are kept here and sent again at every connect, so that a broker that lost them has them back.
Events wait here, in memory, while the broker is away, and go out in order, at most WINDOW of them unacknowledged (the
outbox on disk will take that place).
"""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable

from edge_tdn.messages import ActionEvent, CameraStatus, DaemonStatus, TopScores
from edge_tdn.mqtt import Acknowledged, Connected, Connection, Lost, Message

log = logging.getLogger(__name__)

WAITING_MOST = 10_000  # events; beyond that the oldest are given up
WINDOW = 100  # messages sent and not yet acknowledged
GOODBYE_S = 1.0  # how long a clean stop waits for the last PUBACKs
TICK_S = 0.05  # how soon a note from the network is heard while nothing is to be sent
LOG_EVERY_S = 10.0  # what a broker does wrong is mentioned this often

ONLINE, STOPPED, OFFLINE = b"online", b"stopped", b"offline"


class Publisher:
    """Speaks for the host under `base`.

    `connect` opens the connection with the last will it is given; `failed` hears what ends the thread too early.
    """

    def __init__(
        self, base: str, connect: Callable[[Message], Connection], failed: Callable[[BaseException], None]
    ) -> None:
        self._base = base
        self._failed = failed
        self._availability = f"{base}/availability"
        self._connection = connect(Message(self._availability, OFFLINE, retain=True))
        self._inbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._waiting: deque[Message] = deque()  # events, oldest first
        self._retained: dict[str, Message] = {}
        self._unacknowledged: dict[int, str] = {}  # PUBACK still to come -> topic
        self._resent: set[int] = set()  # of these, what paho sends again after a loss, before anything new may go
        self.connected = False
        self.dropped = 0  # messages given up: too many waited, or the broker refused them
        self._mentioned = -LOG_EVERY_S
        self._thread = threading.Thread(target=self._run, name="publisher")

    def start(self) -> None:
        self._thread.start()

    @property
    def unsent(self) -> int:
        """Messages that the broker has not acknowledged."""
        return len(self._unacknowledged) + len(self._waiting) + self._inbox.qsize()

    def event(self, event: ActionEvent) -> None:
        self._inbox.put(Message(f"{self._base}/{event.camera}/events", event.json_bytes()))

    def action(self, camera: str, label: str | None) -> None:
        """The label that is going on now, for dashboards."""
        self._inbox.put(Message(f"{self._base}/{camera}/action", (label or "none").encode(), retain=True))

    def snapshot(self, camera: str, jpeg: bytes) -> None:
        """The picture of the camera's newest action."""
        self._inbox.put(Message(f"{self._base}/{camera}/snapshot", jpeg, retain=True))

    def scores(self, scores: TopScores) -> None:
        if self.connected:
            self._inbox.put(Message(f"{self._base}/{scores.camera}/scores", scores.json_bytes(), qos=0))

    def camera_status(self, status: CameraStatus) -> None:
        self._inbox.put(Message(f"{self._base}/{status.camera}/status", status.json_bytes(), retain=True))

    def daemon_status(self, status: DaemonStatus) -> None:
        self._inbox.put(Message(f"{self._base}/status", status.json_bytes(), retain=True))

    def stop(self) -> None:
        """Sends what waits, says `stopped`, and leaves."""
        self._inbox.put(Message(self._availability, STOPPED, retain=True))
        self._inbox.put(None)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        try:
            while self._step():
                pass
            deadline = time.monotonic() + GOODBYE_S
            while self.connected and (self._unacknowledged or self._waiting) and time.monotonic() < deadline:
                self._listen()
                self._send_waiting()
                time.sleep(0.01)
            if self.unsent:
                log.warning("stopping: %d messages were never delivered", self.unsent)
        except BaseException as error:  # the thread must not die unseen: the daemon stops and says why
            log.exception("publisher thread failed")
            self._failed(error)

    def _step(self) -> bool:
        """One message from the inbox, if there is one; False after the last."""
        self._listen()
        self._send_waiting()
        try:
            message = self._inbox.get(timeout=TICK_S)
        except queue.Empty:
            return True
        if message is None:
            return False
        if message.retain:
            self._retained[message.topic] = message
            if self.connected:  # else sent at the connect, in its newest form
                self._send(message)
        elif message.qos == 0:
            self._send(message)
        else:
            self._waiting.append(message)
            if len(self._waiting) > WAITING_MOST:
                self._waiting.popleft()
                self.dropped += 1
        return True

    def _send_waiting(self) -> None:
        while self.connected and self._waiting and len(self._unacknowledged) < WINDOW:
            self._send(self._waiting.popleft())

    def _send(self, message: Message) -> None:
        mid = self._connection.publish(message)
        if message.qos:
            self._unacknowledged[mid] = message.topic

    def _listen(self) -> None:
        while not self._connection.notes.empty():
            match self._connection.notes.get():
                case Connected():
                    log.info("connected broker=%s", self._connection.address)
                    self._resent = set(self._unacknowledged)
                    self._greet()
                case Lost(reason):
                    self.connected = False
                    self._mention(f"not connected: {reason}; trying again, events wait in memory")
                case Acknowledged(mid, refused):
                    topic = self._unacknowledged.pop(mid, "")
                    if mid in self._resent:
                        self._resent.remove(mid)
                        self._greet()
                    if refused:
                        self.dropped += 1
                        self._mention(f"a message on {topic} was refused: {refused}")

    def _greet(self) -> None:
        """Says that we are here, after what the last connection left unacknowledged: paho sends that again first."""
        if self._resent:
            return
        self.connected = True
        for message in (Message(self._availability, ONLINE, retain=True), *self._retained.values()):
            self._send(message)

    def _mention(self, trouble: str) -> None:
        now = time.monotonic()
        if now - self._mentioned >= LOG_EVERY_S:
            self._mentioned = now
            log.warning("broker=%s: %s", self._connection.address, trouble)
