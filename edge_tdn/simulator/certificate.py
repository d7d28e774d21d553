"""The certificate of a simulated camera with TLS: the user's, or one that is made, signed by itself."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from edge_tdn.errors import EdgeTdnError

VALID_DAYS = 365
NAMES = "subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost"


@dataclass(frozen=True)
class ServerCertificate:
    """A certificate and its key, as PEM files."""

    cert: Path
    key: Path


def server_certificate(cert: Path) -> ServerCertificate:
    """Return the certificate `cert` and the key beside it, CERT.key; both are made if neither exists.

    Raises EdgeTdnError if only one of them exists, or if they cannot be made.
    """
    key = cert.with_suffix(".key")
    if key == cert:
        raise EdgeTdnError(f"--tls {cert}: name the certificate, such as camera.pem; its key is {key}")
    if cert.is_file() != key.is_file():
        there, missing = (cert, key) if cert.is_file() else (key, cert)
        raise EdgeTdnError(f"--tls {cert}: {there} exists, but not {missing}; certificate and key belong together")
    if not cert.is_file():
        _make(cert, key)
    return ServerCertificate(cert, key)


def _make(cert: Path, key: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subject = ["-subj", "/CN=edge-tdn simulate", "-addext", NAMES, "-days", str(VALID_DAYS)]
    try:
        made = subprocess.run([*command, *subject, "-keyout", key, "-out", cert], capture_output=True, text=True)
    except OSError as error:
        raise EdgeTdnError(
            f"--tls {cert}: to make a certificate, `openssl` is needed ({error.strerror}); install it, or put a "
            f"certificate there and its key in {key}"
        ) from error
    if made.returncode != 0:
        reason = (made.stderr.strip().splitlines() or ["no reason"])[0]
        raise EdgeTdnError(f"--tls {cert}: openssl cannot make the certificate: {reason}")
