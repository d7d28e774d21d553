"""TLS to the broker and the cameras: which authorities are trusted, and what a failed handshake means."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from edge_tdn.errors import ConfigError, last_line

OTHER_NAME = (62, 64)  # OpenSSL's numbers: the certificate is for another host name, for another address


@dataclass(frozen=True)
class Peer:
    """A server as error messages name it, with the keys of its configuration."""

    name: str
    ca_key: str
    url_key: str

    def certificate_problem(self, error: ssl.SSLCertVerificationError) -> str:
        """Explain why the certificate was rejected."""
        unknown_issuer = f"{self.ca_key} must contain the authority that signed it"
        hint = {  # by OpenSSL's verification error number
            9: "is this host's clock right?",
            10: "it must be renewed, unless this host's clock is wrong",
            18: unknown_issuer,
            19: unknown_issuer,
            20: unknown_issuer,
            **dict.fromkeys(OTHER_NAME, f"{self.url_key} must use a host name that the certificate is valid for"),
        }.get(error.verify_code)
        return f"the {self.name}'s certificate was rejected: {error.verify_message}{f'; {hint}' if hint else ''}"


BROKER = Peer("broker", "broker.ca_file", "broker.url")
CAMERA = Peer("camera", "ca_file", "source")


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
