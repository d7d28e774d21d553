"""TLS to the broker and the cameras: which authorities are trusted, what a failed handshake means; and of the page."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from edge_tdn.errors import ConfigError, last_line

OTHER_NAME = (62, 64)  # OpenSSL's numbers: the certificate is for another host name, for another address


@dataclass(frozen=True)
class Peer:
    """A server as error messages name it, with what to do about its certificate."""

    name: str
    ca_key: str  # of the configuration
    unknown_issuer: str
    other_name: str

    def certificate_problem(self, error: ssl.SSLCertVerificationError) -> tuple[str, str]:
        """Return why the certificate was rejected, and what to do about it; empty if that is not known."""
        remedy = {  # by OpenSSL's verification error number
            9: "is this host's clock right?",
            10: "it must be renewed, unless this host's clock is wrong",
            18: self.unknown_issuer,
            19: self.unknown_issuer,
            20: self.unknown_issuer,
            **dict.fromkeys(OTHER_NAME, self.other_name),
        }.get(error.verify_code, "")
        return f"the {self.name}'s certificate was rejected: {error.verify_message}", remedy


BROKER = Peer(
    "broker",
    "broker.ca_file",
    "broker.ca_file must contain the authority that signed it",
    "broker.url must use a host name that the certificate is valid for",
)
CAMERA = Peer(
    "camera",
    "ca_file",
    "ca_file must contain the authority that signed it, or the certificate itself",
    "source must use a host name that it is valid for, or ca_file must contain the certificate itself",
)


def trust(ca: Path | None, peer: Peer) -> ssl.SSLContext:
    """Return a context for TLS 1.2 or newer that verifies certificate and name. `ca`: PEM; None: the system's.

    ConfigError: the file contains no certificates in PEM.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{ca}: {peer.ca_key} contains no certificates in PEM: {last_line(error)}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def server_context(cert: Path, key: Path | None) -> ssl.SSLContext:
    """Return a context for a server with TLS 1.2 or newer. `cert`: PEM, with the key if `key` is None.

    ConfigError: they are not PEM, do not belong together, or the key is encrypted.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except (OSError, ssl.SSLError, ValueError) as error:
        where = f"{cert}" if key is None else f"{cert} and {key}"
        raise ConfigError(
            f"{where}: not a certificate and its key in PEM, without a password: {last_line(error)}"
        ) from error
    return context


def renew(context: ssl.SSLContext, cert: Path, key: Path | None) -> None:
    """Have a server's context use these files for the connections to come.

    ConfigError: see `server_context`; then the context keeps what it had.
    """
    server_context(cert, key)  # OpenSSL would keep a certificate without its key
    context.load_cert_chain(cert, key, password=_no_password)


def _no_password() -> str:
    """Return a password that no key has, in place of OpenSSL's question for one on the terminal."""
    return ""
