"""What a command does, and its answer. On the publisher's thread, so that nothing here may wait."""

import logging
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
from edge_tdn.messages import Reply
from edge_tdn.process.log import RateLimitedLog, value
from edge_tdn.service.camera import Camera

log = logging.getLogger(__name__)

SAID_AT_ONCE, SAID_EVERY_S = 10, 10.0  # lines about commands that were refused


class Control:
    """Takes the commands of one host."""

    def __init__(self, cameras: Sequence[Camera], publisher: Publisher) -> None:
        self.exchange(cameras)
        self._publisher = publisher
        self._limit = RateLimit()
        self._refusals = RateLimitedLog(log, SAID_EVERY_S, SAID_AT_ONCE)

    def exchange(self, cameras: Sequence[Camera]) -> None:
        """From now on for these; from any thread."""
        self._cameras = {camera.name: camera for camera in cameras}

    def hear(self, topic: str, payload: bytes) -> None:
        """A message below <base>/cmd/; it is answered, unless there are too many."""
        id_ = None
        try:
            if not self._limit.admits(time.monotonic_ns()):
                return
            command = parse(topic, payload, self._cameras)
            id_ = command.id
            result = self._do(command)
        except CommandError as error:
            text = "command=%s id=%s refused: %s"
            self._refusals.log(logging.WARNING, text, value(topic[:MAX_ECHO_CHARS]), value(error.id), error)
            self._publisher.reply(Reply(command=topic, id=error.id, ok=False, error=str(error), result={}))
            return
        except Exception:  # one command's trouble must not end the publisher's thread
            log.exception("command=%s id=%s failed", value(topic[:MAX_ECHO_CHARS]), value(id_))
            why = "internal error, see the daemon's log"
            self._publisher.reply(Reply(command=topic, id=id_, ok=False, error=why, result={}))
            return
        what = " ".join(f"{key}={value(of)}" for key, of in result.items())
        log.info("camera=%s command=%s %s id=%s", command.camera, topic, what, value(command.id))
        answer = Reply(command=topic, id=command.id, ok=True, error="", result={"camera": command.camera} | result)
        if isinstance(command, Replay):
            self._publisher.replay(command.camera, command.from_seq, command.to_seq or MAX_SEQ, answer)
        else:
            self._publisher.reply(answer)

    def _do(self, command: Command) -> dict[str, int | float | str | bool | None]:
        """What is so now. CommandError: it cannot be done."""
        camera = self._cameras[command.camera]
        match command:
            case Replay(from_seq=from_seq, to_seq=to_seq):
                return {"from_seq": from_seq, "to_seq": to_seq}
            case SetEnabled(enabled=enabled):
                if not camera.running:
                    raise CommandError(f"{camera.name}: its source has ended: {camera.status().reason}", command.id)
                camera.set_enabled(enabled)
                return {"enabled": enabled}
            case SetThreshold(enter=enter, exit=leave, label=label):
                try:
                    camera.set_thresholds(enter, leave, label)
                except ValueError as error:
                    raise CommandError(str(error), command.id) from error
                return {"enter": enter, "exit": leave, "label": label}
