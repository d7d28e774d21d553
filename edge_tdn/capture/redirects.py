"""Redirects of cameras: each is checked and counted, and leads to a connection of its own.

The libraries would follow an RTSP redirect without end, and send the password to whatever host it names.
"""

import socket
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

from edge_tdn.capture.address import Address, split_user
from edge_tdn.capture.capture import Capture, CapturedFrame
from edge_tdn.capture.diagnosis import RESOLVE_TIMEOUT_S
from edge_tdn.config.checks import TLS_URLS, check_camera_url, normal_source
from edge_tdn.config.tables import CREDENTIAL
from edge_tdn.errors import ExplainedError
from edge_tdn.process import heartbeat
from edge_tdn.process.passwords import without_password

MAX_REDIRECTS = 5
MAX_LOCATION = 2000  # characters of a location that is followed
MAX_SHOWN = 200  # characters of a location in a message


class Redirected(Exception):
    """Raised by a capture when its camera redirects to `location`, which the camera chose."""

    def __init__(self, location: str) -> None:
        super().__init__("redirected")
        self.location = location


class FollowingCapture:
    """A capture that follows redirects. Implements `edge_tdn.capture.capture.Capture`.

    `open_address` connects to an address. Used by one thread.
    """

    def __init__(self, address: Address, open_address: Callable[[Address], Capture]) -> None:
        self._open_address = open_address
        self._trail = Trail(address)
        self._capture = self._open(address)

    @property
    def live(self) -> bool:
        return self._capture.live

    @property
    def declared_s(self) -> float | None:
        return self._capture.declared_s

    @property
    def decoder(self) -> str:
        return self._capture.decoder

    @property
    def silence(self) -> str:
        return self._capture.silence

    def read(self, timeout_s: float) -> CapturedFrame | None:
        try:
            return self._capture.read(timeout_s)
        except Redirected as redirected:
            self._capture.close()
            self._capture = self._open(self._trail.follow(redirected.location))
            return None

    def close(self) -> None:
        self._capture.close()

    def _open(self, address: Address) -> Capture:
        while True:
            try:
                return self._open_address(address)
            except Redirected as redirected:  # at once
                address = self._trail.follow(redirected.location)


class Trail:
    """The addresses that one connection was redirected to, from the camera's own on."""

    def __init__(self, address: Address) -> None:
        self._addresses = [address]

    def follow(self, location: str) -> Address:
        """Return the next address. Raises ExplainedError if a redirect to it must not be followed."""
        first, last = self._addresses[0], self._addresses[-1]
        following = redirected(last, location)
        if any(following.location == before.location for before in self._addresses):
            raise _refusal(first, f"the camera redirects in a loop, back to {_shown(first, following.location)}")
        if len(self._addresses) > MAX_REDIRECTS:
            where = _shown(first, following.location)
            raise _refusal(first, f"the camera redirects more than {MAX_REDIRECTS} times, at last to {where}")
        self._addresses.append(following)
        return following


def redirected(address: Address, location: str) -> Address:
    """Return the address that `address` redirects to. Raises ExplainedError if it must not be followed."""
    if len(location) > MAX_LOCATION:
        raise _refusal(address, f"the camera redirects to an address of {len(location)} characters")
    try:
        if any(character.isspace() or not character.isprintable() for character in location):
            raise ValueError("a space or a control character in it")
        target = normal_source(urljoin(address.location, location))
        check_camera_url(target)
        target, user, password = split_user(target)
        host = urlsplit(target).hostname
    except ValueError as error:  # UnicodeError, too
        raise _refusal(
            address, f"the camera redirects to {_shown(address, location)}: {str(error)[:MAX_SHOWN]}"
        ) from error
    where = _shown(address, target)
    if address.location.startswith(TLS_URLS) and not target.startswith(TLS_URLS):
        raise _refusal(address, f"the camera redirects to {where}, which is without TLS")
    if address.username and not user:
        if not _same_machine(urlsplit(address.location).hostname, host):
            raise _refusal(address, f"the camera redirects to {where}, another host, which must not get the password")
        user, password = address.username, address.password
    return Address(target, address.shown, user, password, address.ca)


def _refusal(address: Address, reason: str) -> ExplainedError:
    return ExplainedError(without_password(f"{address.shown}: {reason}"), "set `source` to the address that plays")


def _shown(address: Address, location: str) -> str:
    """Return a location as it may be shown: of an address that is secret, not more than its host."""
    text = without_password(location)
    if address.shown.startswith(CREDENTIAL):
        try:
            parts = urlsplit(location)
            text = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        except ValueError:
            text = "another address"
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _same_machine(one: str | None, other: str | None) -> bool:
    """Return True if two host names are equal, or have an address in common."""
    if one == other:
        return True
    heartbeat.beat(RESOLVE_TIMEOUT_S)
    try:
        first, second = ({found[4][0] for found in socket.getaddrinfo(name, None)} for name in (one, other))
    except (OSError, UnicodeError):
        return False
    return bool(first & second)
