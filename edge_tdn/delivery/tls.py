"""TLS to the broker: the context, and what a failed handshake means."""

import ssl

from edge_tdn.config.credentials import Access
from edge_tdn.errors import ConfigError, last_line

UNKNOWN_ISSUER = "broker.ca_file must contain the authority that signed it"
WRONG_NAME = "broker.url must use a host name that the certificate is valid for"
CERTIFICATE_HINTS = {  # by OpenSSL's verification error number
    9: "is this host's clock right?",
    10: "it must be renewed, unless this host's clock is wrong",
    18: UNKNOWN_ISSUER,
    19: UNKNOWN_ISSUER,
    20: UNKNOWN_ISSUER,
    62: WRONG_NAME,
    64: WRONG_NAME,
}


def tls_context(access: Access) -> ssl.SSLContext:
    """Return a context for TLS 1.2 or newer that verifies the broker's certificate and name.

    ConfigError: a file is not a certificate or key in PEM.
    """
    try:
        context = ssl.create_default_context(cafile=access.ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{access.ca}: broker.ca_file contains no certificates in PEM: {last_line(error)}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
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
    hint = CERTIFICATE_HINTS.get(error.verify_code)
    return f"the broker's certificate was rejected: {error.verify_message}{f'; {hint}' if hint else ''}"


def handshake_problem(reason: str) -> str:
    """Explain a failed handshake. `reason`: OpenSSL's name of it."""
    if "VERSION" in reason and "ALERT" in reason:
        return f"the broker does not support TLS 1.2 or newer: {reason}"
    if "ALERT" in reason:
        return f"the broker rejected the TLS handshake: {reason}; does it require another broker.cert_file?"
    return f"the TLS handshake failed: {reason}; is this the broker's TLS port, often 8883? Without TLS use mqtt:// or ws://"
