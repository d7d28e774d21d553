"""Passwords, which are never shown: the list of them, and a function that removes them from a text.

Passwords in addresses are recognised by their form, and those that were read from a file by their text: see `hide`.
"""

import base64
import json
import re
from functools import lru_cache
from urllib.parse import quote, unquote

MIN_LENGTH = 6  # characters; a shorter password is hidden only as a whole word: "on" is not part of every "connection"
SECRET = re.compile(  # what follows these: in an address, in its query, in the properties of a gst: element
    # a password may contain anything, but it ends before the next address
    r"""(://[^/@:]*:)((?:(?!\s!\s|[\s(<"']\w+://).)*)(?=@) |
    ([?&](?:password|passwd|pass|pwd|token)=)([^&\s]*) | (\b[\w-]*pw=)("[^"]*"|\S+)""",
    re.X,
)


def hide(secret: str, user: str = "") -> None:
    """Hide a password from now on, also in the forms that a program may give it: quoted, escaped, in base64."""
    if secret:
        basic = base64.b64encode(f"{user}:{secret}".encode(errors="surrogateescape")).decode()
        forms = secret, quote(secret, safe="", errors="surrogateescape"), repr(secret)[1:-1], json.dumps(secret)[1:-1]
        _hidden.update(dict.fromkeys((*forms, basic)))


def hide_in(address: str) -> None:
    """Hide the password of a camera's address, also where a library writes it apart from the address."""
    for found in SECRET.finditer(address):
        user, secret = (found[1] or "")[3:-1], (found[2] or found[4] or found[6] or "").strip('"')
        hide(secret, user)
        hide(unquote(secret), unquote(user))


def without_password(text: str) -> str:
    """Return the text with *** in place of passwords, as it may be shown, logged and published."""
    text = SECRET.sub(lambda found: f"{found[1] or found[3] or found[5]}***", text)
    return _pattern(tuple(_hidden)).sub("***", text) if _hidden else text


@lru_cache(maxsize=1)
def _pattern(forms: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(_form_pattern, sorted(forms, key=len, reverse=True))))


def _form_pattern(form: str) -> str:
    return re.escape(form) if len(form) >= MIN_LENGTH else rf"(?<!\w){re.escape(form)}(?!\w)"


_hidden: dict[str, None] = {}  # all forms of all passwords; added to while the configuration is read
