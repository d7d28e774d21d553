"""The bodies of the page's requests to teaching: each value checked, and no key that is not known."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from edge_tdn.web.queries import MAX_NAME_CHARS

MAX_CLASS_BYTES = 200  # of a class's name, which is the name of a folder
MAX_SEQ = 10**18 - 1  # of an event: as many digits as a cursor has
MODEL_ID = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # a manifest's id that may be the name of a folder
FORBIDDEN = ("/", "\\", "..")  # in the name of a class, which is a part of a clip's address


def _class_name(name: str) -> str:
    if not name or name != name.strip() or name.startswith("."):
        raise ValueError("a name is missing, or begins with a dot, or has blanks around it")
    if not name.isprintable() or any(part in name for part in FORBIDDEN):
        raise ValueError(f"letters, digits and signs are allowed, but not {' '.join(FORBIDDEN)}")
    if len(name.encode()) > MAX_CLASS_BYTES:
        raise ValueError(f"a name has {MAX_CLASS_BYTES} bytes at most")
    return name


def _model_id(name: str) -> str:
    if not MODEL_ID.fullmatch(name):
        raise ValueError("up to 64 of A-Z, a-z, 0-9, dot, dash and underscore, the first a letter or digit")
    return name


Text = Annotated[str, Field(max_length=MAX_NAME_CHARS)]
ClassName = Annotated[str, AfterValidator(_class_name)]
ModelId = Annotated[str, AfterValidator(_model_id)]


class PageBody(BaseModel):
    """A body without keys: `{}`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RecordBody(PageBody):
    """Clips to record, as RecordRequest has them; the camera is in the address."""

    label: ClassName
    zone: Text | None = None
    count: Annotated[int, Field(ge=1, le=100)]
    seconds: Annotated[float, Field(ge=0.5, le=600, allow_inf_nan=False)]
    pause: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)]


class LabelBody(PageBody):
    """The class of an action that was recognised. `seq`: of the event that ended it."""

    seq: Annotated[int, Field(ge=1, le=MAX_SEQ)]
    label: ClassName


class MoveBody(PageBody):
    """The class to which a clip belongs; None: it is discarded."""

    label: ClassName | None


class FinetuneBody(PageBody):
    """The id of a model to train."""

    id: ModelId


class TrialBody(PageBody):
    """A model, and where it is tried."""

    model: ModelId
    camera: Text
    zone: Text | None = None


class TakeOverBody(PageBody):
    """A model to serve from now on."""

    model: ModelId
