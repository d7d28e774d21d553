"""TLS to the broker: the context, and what a failed handshake means."""

import ssl

from edge_tdn.config.credentials import Access
from edge_tdn.config.tls import BROKER, trust
from edge_tdn.errors import ConfigError, last_line


def tls_context(access: Access) -> ssl.SSLContext:
    """Return a context for TLS 1.2 or newer that verifies the broker's certificate and name.

    ConfigError: a file is not a certificate or key in PEM.
    """
    context = trust(access.ca, BROKER)
    if access.cert:
        try:
            context.load_cert_chain(access.cert, access.key, password=lambda: b"")  # never prompts for a pass phrase
        except (OSError, ssl.SSLError, ValueError) as error:
            raise ConfigError(
                f"{access.cert}, {access.key or 'with its key'}: broker.cert_file and broker.key_file are not a "
                f"certificate in PEM and its key, without a pass phrase: {last_line(error)}"
            ) from error
    return context


def certificate_problem(error: ssl.SSLCertVerificationError) -> str:
    """Explain why the broker's certificate was rejected."""
    return "; ".join(part for part in BROKER.certificate_problem(error) if part)


def handshake_problem(reason: str) -> str:
    """Explain a failed handshake. `reason`: OpenSSL's name of it."""
    if "VERSION" in reason and "ALERT" in reason:
        return f"the broker does not support TLS 1.2 or newer: {reason}"
    if "ALERT" in reason:
        return f"the broker rejected the TLS handshake: {reason}; does it require another broker.cert_file?"
    return f"the TLS handshake failed: {reason}; is this the broker's TLS port, often 8883? Without TLS use mqtt:// or ws://"
