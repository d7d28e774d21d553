"""Events, a picture, a host that replays events, and a log of what a subscriber yields."""

import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty

import cv2
import numpy as np

from edge_tdn.delivery.commands import CommandError, Replay, parse
from edge_tdn.delivery.mqtt import Acknowledged, Connected, Connection, Link, Message, Received
from edge_tdn.messages import ActionEvent, EventWindow, ModelRef, Reply
from edge_tdn.subscriber import Gap, HostMessage, Subscriber
from tests.support.broker import PATIENT, Mosquitto
from tests.support.waiting import PATIENCE_S, eventually

MOMENT = "2026-03-01T12:00:00.000Z"
JPEG = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()  # a small black picture


def make_event(
    seq: int, boot: str = "b1", camera: str = "door", host: str = "here", replayed: bool = False
) -> ActionEvent:
    return ActionEvent(
        id=f"{host}/{camera}/{boot}/{seq}",
        seq=seq,
        type="start",
        host=host,
        camera=camera,
        label="left",
        label_index=1,
        score=0.9,
        peak_score=0.9,
        started_at=MOMENT,
        replayed=replayed,
        window=EventWindow(from_=MOMENT, to=MOMENT, frames=40, dropped=0),
        model=ModelRef(id="m", precision="fp32", sha256="0" * 64),
    )


def make_reply(id_: str | None, ok: bool = True, error: str = "", **result: int | str) -> Reply:
    """Return a reply to the command `replay`."""
    return Reply(command="replay", id=id_, ok=ok, error=error, result=dict(result))


class ReplayingHost:
    """Publishes events, and answers the command `replay` with those that it has kept.

    Its thread reads the connection's notes; the test calls the methods.
    """

    def __init__(self, broker: Mosquitto, name: str = "here", kept: Sequence[int] = range(1000)) -> None:
        self._name, self._kept = name, kept
        self._base = f"edge-tdn/{name}"
        self._connection = Connection(broker.config(), f"host-{name}", timing=PATIENT)
        self._link: Link | None = None
        self._ready, self._stopped = threading.Event(), threading.Event()
        self._published = self._acknowledged = 0  # messages
        self.requests: list[Replay] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)

    def publish(self, *seqs: int, camera: str = "door", replayed: bool = False, retain: bool = False) -> None:
        for seq in seqs:
            event = make_event(seq, camera=camera, host=self._name, replayed=replayed)
            self._send(Message(f"{self._base}/{camera}/events", event.json_bytes(), retain=retain))

    def wait_until_published(self) -> None:
        """Wait until the broker has acknowledged everything."""
        eventually(lambda: self._acknowledged == self._published)

    def publish_until(self, condition: Callable[[], object], seq: int = 1, camera: str = "probe") -> None:
        """Publish an event again and again until a subscriber has it: then it is subscribed."""

        def published() -> object:
            self.publish(seq, camera=camera)
            time.sleep(0.1)
            return condition()

        eventually(published)

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()
        self._connection.close()

    def _send(self, message: Message) -> None:
        assert self._link
        self._published += 1
        self._link.publish(message)

    def _serve(self) -> None:
        while not self._stopped.is_set():
            try:
                note = self._connection.notes.get(timeout=0.05)
            except Empty:
                continue
            match note:
                case Connected(link):
                    self._link = link
                    link.subscribe(f"{self._base}/cmd/#")
                    self._send(Message(f"{self._base}/cmd/ready", b""))
                case Acknowledged():
                    self._acknowledged += 1
                case Received(topic) if topic.endswith("/ready"):
                    self._ready.set()
                case Received(topic, payload, _):
                    self._send(Message(f"{self._base}/reply", self._answer(topic, payload).json_bytes()))

    def _answer(self, topic: str, payload: bytes) -> Reply:
        try:
            command = parse(topic.removeprefix(f"{self._base}/cmd/"), payload, ["door"])
        except CommandError as error:
            return make_reply(error.id, ok=False, error=str(error))
        assert isinstance(command, Replay)
        assert command.to_seq
        self.requests.append(command)
        sent = [seq for seq in range(command.from_seq, command.to_seq + 1) if seq in self._kept]
        self.publish(*sent, camera=command.camera, replayed=True)
        missing = command.to_seq - command.from_seq + 1 - len(sent)
        return make_reply(
            command.id,
            camera=command.camera,
            from_seq=command.from_seq,
            to_seq=command.to_seq,
            sent=len(sent),
            missing=missing,
        )


class MessageLog:
    """Records what a subscriber yields; leaves the loop over `messages` after each message, as a program may."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        self.messages: list[HostMessage] = []

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Record messages until the condition is met."""

        def met() -> bool:
            if condition():
                return True
            for message in self._subscriber.messages(0.1):
                self.messages.append(message)
                break
            return False

        eventually(met, describe=lambda: self.messages)

    def record(self, seconds: float) -> list[HostMessage]:
        """Record messages for a while, and return all so far."""
        self.messages += self._subscriber.messages(seconds)
        return self.messages

    def events(self, topic: str = "edge-tdn/here/door/events") -> list[ActionEvent]:
        """Return the events on a topic, in the order of arrival."""
        return [one.content for one in self.messages if one.topic == topic and isinstance(one.content, ActionEvent)]

    def seqs(self, topic: str = "edge-tdn/here/door/events") -> list[int]:
        """Return the seqs of the events on a topic, in the order of arrival."""
        return [event.seq for event in self.events(topic)]

    def gaps(self) -> list[Gap]:
        """Return the reported gaps, in the order of arrival."""
        return [message.content for message in self.messages if isinstance(message.content, Gap)]
