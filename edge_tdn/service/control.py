"""Carries out the commands of a host, and answers them.

On the publisher's thread, or for the page on its own, so that nothing here may wait.
"""

import logging
import threading
import time
from collections.abc import Sequence

from edge_tdn.delivery.commands import (
    MAX_ECHO_CHARS,
    MAX_SEQ,
    Command,
    CommandError,
    RateLimit,
    Replay,
    SetEnabled,
    SetThreshold,
    parse,
)
from edge_tdn.delivery.publisher import Publisher
from edge_tdn.delivery.replays import ReplayRequest
from edge_tdn.messages import Reply
from edge_tdn.process.log import RateLimitedLog, value
from edge_tdn.service.camera import Camera

log = logging.getLogger(__name__)

REFUSAL_LOG_BURST, REFUSAL_LOG_EVERY_S = 10, 10.0  # lines about commands that were refused


class Control:
    """Carries out the commands for the cameras of one host, which come over MQTT or from the page.

    `_cameras` is replaced as one value, by the reload thread. `_lock` guards `_limit`, which both ways share, and makes
    commands wait for each other.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._cameras: dict[str, Camera] = {}
        self._publisher = publisher
        self._lock = threading.Lock()
        self._limit = RateLimit()
        self._refusal_log = RateLimitedLog(log, REFUSAL_LOG_EVERY_S, REFUSAL_LOG_BURST)

    def serve(self, cameras: Sequence[Camera]) -> None:
        """Take commands for these cameras from now on, and for no others. From any thread."""
        self._cameras = {camera.name: camera for camera in cameras}

    def handle(self, topic: str, payload: bytes) -> None:
        """Carry out a message below <base>/cmd/, and publish the reply, unless there are too many."""
        try:
            with self._lock:
                admitted = self._limit.admits(time.monotonic_ns())
        except CommandError as error:
            self._publisher.reply(self._refusal(topic, error))
            return
        if not admitted:
            return
        match self._answer(topic, payload):
            case ReplayRequest(camera=camera, from_seq=from_seq, to_seq=to_seq, reply=reply):
                self._publisher.replay(camera, from_seq, to_seq, reply)
            case Reply() as reply:
                self._publisher.reply(reply)

    def admits(self) -> bool:
        """Count one more command of the page, or return False if there are too many. From any thread."""
        with self._lock:
            return self._limit.takes(time.monotonic_ns())

    def answer(self, topic: str, payload: bytes) -> Reply:
        """Carry out a command that `admits` has counted, and return the reply. From any thread; it waits for nothing.

        A replay is refused: its events would go to the subscribers of MQTT.
        """
        if topic == "replay":
            return self._refusal(topic, CommandError("replay is a command of MQTT alone"))
        answer = self._answer(topic, payload)
        return answer.reply if isinstance(answer, ReplayRequest) else answer

    def _answer(self, topic: str, payload: bytes) -> Reply | ReplayRequest:
        """Carry out a command; return the reply, or what is to be sent before it."""
        id_ = None
        try:
            cameras = self._cameras
            command = parse(topic, payload, cameras)
            id_ = command.id
            with self._lock:
                result = _carry_out(command, cameras[command.camera])
        except CommandError as error:
            return self._refusal(topic, error)
        except Exception:  # one command's trouble must not end the publisher's thread, nor the page's
            log.exception("command=%s id=%s failed", value(topic[:MAX_ECHO_CHARS]), value(id_))
            return Reply(command=topic, id=id_, ok=False, error="internal error, see the daemon's log", result={})
        what = " ".join(f"{key}={value(of)}" for key, of in result.items())
        log.info("camera=%s command=%s %s id=%s", command.camera, topic, what, value(command.id))
        reply = Reply(command=topic, id=command.id, ok=True, error="", result={"camera": command.camera} | result)
        if isinstance(command, Replay):
            return ReplayRequest(command.camera, command.from_seq, command.to_seq or MAX_SEQ, reply)
        return reply

    def _refusal(self, topic: str, error: CommandError) -> Reply:
        """Log that a command was refused, and return the reply."""
        text = "command=%s id=%s refused: %s"
        self._refusal_log.log(logging.WARNING, text, value(topic[:MAX_ECHO_CHARS]), value(error.id), error)
        return Reply(command=topic, id=error.id, ok=False, error=str(error), result={})


def _carry_out(command: Command, camera: Camera) -> dict[str, int | float | str | bool | None]:
    """Return what is in force now. CommandError: the command cannot be carried out."""
    match command:
        case Replay(from_seq=from_seq, to_seq=to_seq):
            return {"from_seq": from_seq, "to_seq": to_seq}
        case SetEnabled(enabled=enabled):
            if not camera.running:
                raise CommandError(f"{camera.name}: its source has ended: {camera.status().reason}", command.id)
            camera.set_enabled(enabled)
            return {"enabled": enabled}
        case SetThreshold(enter=enter, exit=leave, label=label, zone=zone):
            try:
                enter, leave = camera.set_thresholds(enter, leave, label, zone)
            except ValueError as error:
                raise CommandError(str(error), command.id) from error
            of = {} if zone is None else {"zone": zone}
            return {"enter": enter, "exit": leave, "label": label, **of}
