"""What the lines of a trainer say about a training. Pure."""

import re
import signal
from typing import Annotated, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from edge_tdn.hub.teaching_access import FinetuneState
from edge_tdn.process.passwords import without_password

MAX_LOG_LINES = 40
MAX_LINE = 500  # characters that are kept
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")  # colours of a library, and others


class _Step(BaseModel):
    kind: Literal["step"]
    step: int
    of: int
    text: str


class _Progress(BaseModel):
    kind: Literal["progress"]
    text: str
    done: float
    total: float | None
    left_s: float | None


class _Note(BaseModel):
    kind: Literal["note"]
    text: str


class _Done(BaseModel):
    kind: Literal["done"]
    model: str


class _Failed(BaseModel):
    kind: Literal["failed"]
    text: str
    status: int


_Message = Annotated[_Step | _Progress | _Note | _Done | _Failed, Field(discriminator="kind")]
_MESSAGE: TypeAdapter[_Step | _Progress | _Note | _Done | _Failed] = TypeAdapter(_Message)


def follow(state: FinetuneState, line: str) -> FinetuneState:
    """Return the state after a line of the trainer; see `edge-tdn-train finetune --progress json`.

    A line of another form, as a library writes it, is kept in the log. The reason of a failure becomes the last line
    there.
    """
    try:
        message = _MESSAGE.validate_json(line)
    except ValidationError:
        return _logged(state, line)
    match message:
        case _Step():
            begun = {"step": message.step, "of": message.of, "text": _shown(message.text)}
            return _logged(
                state.model_copy(update=begun | {"done": 0.0, "total": 0.0, "left_s": None}),
                f"{message.step}/{message.of} {message.text}",
            )
        case _Progress():
            counted = {"done": message.done, "total": message.total or 0.0, "left_s": message.left_s}
            return state.model_copy(update=counted | {"text": _shown(message.text)})
        case _Note() | _Failed():
            return _logged(state, message.text)
        case _Done():
            return state


def ended(state: FinetuneState, status: int, stopped: bool, complete: bool) -> FinetuneState:
    """Return the state of a training that has ended with this exit status; negative: by that signal.

    `stopped`: it was to stop. `complete`: the model folder is there.
    """
    if complete:
        over = {"state": "done", "text": "", "left_s": 0.0}
    elif stopped:
        text = "stopped; begin it again with the same name, and it continues from what is already computed"
        over = {"state": "stopped", "text": text, "left_s": None}
    else:
        over = {"state": "failed", "text": _reason(state, status), "left_s": None}
    return state.model_copy(update=over)


def _reason(state: FinetuneState, status: int) -> str:
    if status == -signal.SIGKILL:
        return "the training was killed: most likely, this host has too little memory for it"
    if status < 0:
        return f"the training was ended by signal {-status}"
    return state.log[-1] if state.log else f"the trainer ended with exit status {status}"


def _logged(state: FinetuneState, line: str) -> FinetuneState:
    line = _shown(line)
    return state.model_copy(update={"log": (*state.log, line)[-MAX_LOG_LINES:]}) if line else state


def _shown(text: str) -> str:
    """Return a text as a person may see it: without passwords and control characters; the last state of a bar."""
    return CONTROL.sub("", without_password(text.rstrip().rpartition("\r")[2]))[:MAX_LINE].rstrip()
