"""Who may look: the access token, codes for one login, and the session cookie."""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from edge_tdn.config.credentials import TOKEN
from edge_tdn.web.limits import DEFAULT_HTTP_LIMITS, HttpLimits

TOKEN_BYTES = 32
TOKEN_FILE = "token"  # noqa: S105  (in the state folder, if the configuration names none)
CODE_BYTES = 16
CODE_S = 900  # for which a code for one login is good
MAX_CODES = 8  # unused ones; the oldest goes
SESSION_S = 30 * 24 * 3600
EXPIRY = struct.Struct(">Q")  # seconds since 1970
NONCE_BYTES = 16
MAC_BYTES = 32
PURPOSE = b"edge-tdn: sessions of the page, 1"  # of the key that is derived from the token
Outcome = Literal["right", "wrong", "later"]


class Sessions:
    """Session cookies: an expiry, a nonce and a signature. Nothing is kept; a new token ends all sessions."""

    def __init__(self, token: str) -> None:
        self._key = hmac.digest(token.encode(), PURPOSE, "sha256")

    def cookie(self, now_s: float) -> str:
        """Return the value of a new cookie. `now_s`: since 1970."""
        signed = EXPIRY.pack(int(now_s) + SESSION_S) + secrets.token_bytes(NONCE_BYTES)
        return base64.urlsafe_b64encode(signed + self._signature(signed)).rstrip(b"=").decode()

    def valid(self, value: str, now_s: float) -> bool:
        """Return whether a cookie is one of ours that has not expired."""
        try:
            raw = base64.b64decode(value.encode("ascii") + b"=" * (-len(value) % 4), b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error):
            return False
        signed, signature = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
        if len(signed) != EXPIRY.size + NONCE_BYTES or not hmac.compare_digest(signature, self._signature(signed)):
            return False
        return bool(EXPIRY.unpack_from(signed)[0] > now_s)

    def _signature(self, signed: bytes) -> bytes:
        return hmac.digest(self._key, signed, "sha256")


class OneTimeCodes:
    """Codes that are each good for one login. Any thread may use them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until_s: dict[str, float] = {}  # by code, oldest first
        self._lock = threading.Lock()

    def new(self) -> str:
        """Return a new code."""
        code = secrets.token_urlsafe(CODE_BYTES)
        with self._lock:
            self._until_s[code] = self._clock() + CODE_S
            while len(self._until_s) > MAX_CODES:
                del self._until_s[next(iter(self._until_s))]
        return code

    def redeem(self, text: str) -> bool:
        """Use up a code. False: it is none, was used before, or has expired."""
        given = text.encode("utf-8", "replace")
        with self._lock:
            found = [code for code in self._until_s if hmac.compare_digest(code.encode(), given)]
            return any(self._until_s.pop(code) > self._clock() for code in found)


class Admission:
    """Who may look at the page, and by which certificate.

    `codes` may be used by any thread, all else belongs to the thread `page`.
    """

    def __init__(
        self,
        token: str,
        tls: ssl.SSLContext | None = None,
        limits: HttpLimits = DEFAULT_HTTP_LIMITS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`tls`: None: without, or by a proxy."""
        self.tls = tls
        self.sessions, self.codes = Sessions(token), OneTimeCodes(clock)
        self._token = _digest(token)
        self._limits, self._clock = limits, clock
        self._wrong_s: deque[float] = deque(maxlen=limits.logins)

    def log_in(self, token: str) -> Outcome:
        """Return whether a token is right; "later": there were too many wrong ones.

        Codes have no such limit: they cannot be guessed, and a link must open the page while others try tokens.
        """
        now_s = self._clock()
        if len(self._wrong_s) == self._limits.logins and now_s - self._wrong_s[0] < self._limits.logins_s:
            return "later"
        if hmac.compare_digest(_digest(token), self._token):
            return "right"
        self._wrong_s.append(now_s)
        return "wrong"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def new_token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


def kept_token(folder: Path) -> str:
    """Return the token in a folder of the state, made at the first time. Only this user may read it."""
    folder.mkdir(0o700, parents=True, exist_ok=True)
    path = folder / TOKEN_FILE
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            os.fchmod(file.fileno(), 0o600)
            token = file.readline().decode("ascii", "replace").rstrip("\r\n")
        if TOKEN.fullmatch(token):
            return token
    except FileNotFoundError:
        pass
    token = new_token()
    beside = folder / f"{TOKEN_FILE}.new"
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(f"{token}\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    return token
