"""The session cookie among the cookies of a request."""

from collections.abc import Iterator

from edge_tdn.config.web_table import WebConfig

MAX_VALUES = 8  # of that name that are looked at: another program on this host may have set some


def cookie_name(web: WebConfig) -> str:
    """Return the name of the cookie: cookies know no port, so that the name does."""
    return f"edge_tdn_{web.port}"


def session_cookies(header: str, name: str) -> Iterator[str]:
    """Yield the values of all cookies of that name in a header Cookie."""
    pairs = (part.strip().partition("=") for part in header.split(";"))
    values = [value for key, equals, value in pairs if equals and key == name]
    yield from values[:MAX_VALUES]
