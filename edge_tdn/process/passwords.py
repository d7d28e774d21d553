"""Passwords, which are never shown: what hides them in a text, and which there are.

What stands in an address is known by its form; what was read from a file, by name: see `hide`.
"""

import base64
import json
import re
from functools import lru_cache
from urllib.parse import quote, unquote

WHOLE_WORD = 6  # characters; a shorter one is hidden where it stands alone: "on" is not every "connection"
SECRET = re.compile(  # what stands after these: in an address, in its query, in the properties of a gst: element
    # a password may hold anything, but the next address ends what may be one
    r"""(://[^/@:]*:)((?:(?!\s!\s|[\s(<"']\w+://).)*)(?=@) |
    ([?&](?:password|passwd|pass|pwd|token)=)([^&\s]*) | (\b[\w-]*pw=)("[^"]*"|\S+)""",
    re.X,
)


def hide(secret: str, user: str = "") -> None:
    """From now on no line has it, nor what a program may make of it: quoted, escaped, with its user in base64."""
    if secret:
        basic = base64.b64encode(f"{user}:{secret}".encode(errors="surrogateescape")).decode()
        forms = secret, quote(secret, safe="", errors="surrogateescape"), repr(secret)[1:-1], json.dumps(secret)[1:-1]
        _hidden.update(dict.fromkeys((*forms, basic)))


def hide_in(address: str) -> None:
    """The password that stands in a camera's address, also where a library tells it apart from the rest."""
    for found in SECRET.finditer(address):
        user, secret = (found[1] or "")[3:-1], (found[2] or found[4] or found[6] or "").strip('"')
        hide(secret, user)
        hide(unquote(secret), unquote(user))


def without_password(text: str) -> str:
    """The text as it may be shown, logged and published."""
    text = SECRET.sub(lambda found: f"{found[1] or found[3] or found[5]}***", text)
    return _any_of(tuple(_hidden)).sub("***", text) if _hidden else text


@lru_cache(maxsize=1)
def _any_of(forms: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(_alone, sorted(forms, key=len, reverse=True))))


def _alone(form: str) -> str:
    return re.escape(form) if len(form) >= WHOLE_WORD else rf"(?<!\w){re.escape(form)}(?!\w)"


_hidden: dict[str, None] = {}  # their forms
