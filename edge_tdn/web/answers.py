"""The answers of the page: JSON, and the refusals, which the Gate turns into answers."""

import json
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from edge_tdn.process.passwords import without_password

JSON = "application/json"
MAX_SHOWN = 64  # characters of what a client has sent, in an error
Model = TypeVar("Model", bound=BaseModel)


class Refused(Exception):
    """A request that is answered with a status of 4xx or 503 and `{"error": ...}`. Raised by any handler."""

    def __init__(self, status: int, error: str, **headers: str) -> None:
        """`headers`: with `_` in place of `-`, such as Retry_After="5"."""
        super().__init__(error)
        self.status, self.error = status, error
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def answer(content: BaseModel | Mapping[str, object], status: int = 200) -> Response:
    """Return the answer with `content` as JSON."""
    if isinstance(content, BaseModel):
        text = content.model_dump_json()
    else:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text, status, media_type=JSON)


def refuse(status: int, error: str, **headers: str) -> Response:
    """Return the answer to a request that is refused. `headers` as in Refused."""
    return refusal(Refused(status, error, **headers))


def refusal(refused: Refused) -> Response:
    """Return the answer that a Refused describes."""
    text = json.dumps({"error": without_password(refused.error)}, ensure_ascii=False)
    return Response(text.encode("utf-8", "replace"), refused.status, refused.headers, JSON)


def shown(text: str) -> str:
    """Return what a client has sent, as an error may quote it: short, without passwords and control characters."""
    short = text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"
    return repr(without_password(short))


def parsed(model: type[Model], raw: bytes) -> Model:
    """Return the body of a request. Refused: 422, with the first thing that is wrong."""
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise Refused(422, first_fault(error)) from error


def first_fault(error: ValidationError) -> str:
    """Return the first thing that is wrong in a query or a body, in one line."""
    one = error.errors(include_url=False, include_context=False, include_input=False)[0]
    key = ".".join(map(str, one["loc"]))
    fault = one["msg"].removeprefix("Value error, ")
    return f"{shown(key)}: {fault}" if key else fault
