"""Carries out the commands of a host, and answers them. On the publisher's thread, so that nothing here may wait."""

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

REFUSAL_LOG_BURST, REFUSAL_LOG_EVERY_S = 10, 10.0  # lines about commands that were refused


class Control:
    """Carries out the commands for the cameras of one host.

    `_cameras` is replaced as one value, by the reload thread; everything else belongs to the publisher's thread.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._cameras: dict[str, Camera] = {}
        self._publisher = publisher
        self._limit = RateLimit()
        self._refusal_log = RateLimitedLog(log, REFUSAL_LOG_EVERY_S, REFUSAL_LOG_BURST)

    def serve(self, cameras: Sequence[Camera]) -> None:
        """Take commands for these cameras from now on, and for no others. From any thread."""
        self._cameras = {camera.name: camera for camera in cameras}

    def handle(self, topic: str, payload: bytes) -> None:
        """Carry out a message below <base>/cmd/, and answer it, unless there are too many."""
        id_ = None
        try:
            if not self._limit.admits(time.monotonic_ns()):
                return
            cameras = self._cameras
            command = parse(topic, payload, cameras)
            id_ = command.id
            result = _carry_out(command, cameras[command.camera])
        except CommandError as error:
            text = "command=%s id=%s refused: %s"
            self._refusal_log.log(logging.WARNING, text, value(topic[:MAX_ECHO_CHARS]), value(error.id), error)
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
