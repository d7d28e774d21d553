"""The names under which browsers reach the page, its own origin, and the reverse proxy before it."""

import ipaddress
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address

from edge_tdn.config.web_table import WebConfig

DEFAULT_PORTS = {"http": 80, "https": 443}
ANY = ("0.0.0.0", "::")  # noqa: S104  (compared, not listened on)


def allowed_hosts(web: WebConfig) -> frozenset[str]:
    """Return the values of the header Host that are accepted, in lower case.

    Any other name is one that someone else has pointed to this host (DNS rebinding).
    """
    names = ["127.0.0.1", "localhost", "[::1]"]
    if web.address not in ANY:
        names.append(f"[{web.address}]" if ":" in web.address else web.address)
    default = DEFAULT_PORTS["https" if is_encrypted(web) else "http"]
    own = [f"{name}:{web.port}" for name in names]
    if web.port == default:
        own += names
    for name in web.hosts:
        own += [name] if _has_port(name) else [name, f"{name}:{web.port}"]
    return frozenset(one.lower() for one in own)


def _has_port(name: str) -> bool:
    return ":" in name.rpartition("]")[2]


def is_encrypted(web: WebConfig) -> bool:
    """Return whether browsers reach the page by https: of its own, or of the proxy."""
    return bool(web.cert_file or web.trusted_proxy)


def own_scheme(web: WebConfig, forwarded: str) -> str:
    """Return the scheme of a request. `forwarded`: X-Forwarded-Proto, which counts if there is a trusted proxy."""
    if web.trusted_proxy:
        return "https" if forwarded.strip().lower() == "https" else "http"
    return "https" if web.cert_file else "http"


def own_origin(web: WebConfig, headers: Mapping[str, str]) -> str:
    """Return the origin of a request whose Host is allowed, as a browser writes it: without a default port."""
    scheme = own_scheme(web, headers.get("x-forwarded-proto", ""))
    host = headers.get("host", "").lower().removesuffix(f":{DEFAULT_PORTS[scheme]}")
    return f"{scheme}://{host}"


def is_trusted(web: WebConfig, peer: str) -> bool:
    """Return whether an address may connect: any, or only the trusted proxy if there is one."""
    return not web.trusted_proxy or _same(peer, web.trusted_proxy)


def _same(peer: str, proxy: str) -> bool:
    try:
        return _plain(peer) == _plain(proxy)
    except ValueError:  # not an address
        return False


def _plain(address: str) -> IPv4Address | IPv6Address:
    parsed = ipaddress.ip_address(address)
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, IPv6Address) else parsed
