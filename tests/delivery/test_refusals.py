"""Brokers that reject the connection.

The reason is reported within seconds and logged at most once a second; nothing is ever sent in plain text; no event is
lost.
"""

import logging
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_tdn.config.credentials import Access, broker_access
from edge_tdn.config.tables import BrokerConfig, OutboxConfig
from edge_tdn.delivery.mqtt import Connection
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.delivery.publisher import Publisher
from edge_tdn.delivery.timing import ConnectionTiming
from edge_tdn.delivery.tls import tls_context
from edge_tdn.errors import ConfigError
from edge_tdn.messages import DeliveryState
from edge_tdn.status_messages import Delivery
from tests.support.authority import LOOPBACK, Authority, self_signed
from tests.support.broker import Mosquitto
from tests.support.delivery import BASE, DeliveryRecorder, action_event, raise_failure
from tests.support.scripted_broker import (
    Behaviour,
    ScriptedBroker,
    closes_on_publish,
    does_not_support_mqtt_5,
    is_taken_over,
    never_answers,
)
from tests.support.waiting import eventually
from tests.support.wire import Wire

TLS_1_1_ONLY = ""  # openssl s_server in place of mosquitto
ANONYMOUS = "allow_anonymous true"
PASSWORD = "allow_anonymous false\npassword_file {folder}/passwords"
MUTUAL = "cafile {folder}/ca.pem\nrequire_certificate true\nuse_identity_as_username true\nacl_file {folder}/own-topics"
LARGE = ", ".join([LOOPBACK, *(f"DNS:camera-{n}.of-a-site-with-long-names.example" for n in range(500))])  # > 16 KB


def tls(server: str, more: str = ANONYMOUS) -> str:
    """Return the settings of a listener with a certificate."""
    return f"certfile {{folder}}/{server}.pem\nkeyfile {{folder}}/{server}.key\n{more}"


@dataclass(frozen=True)
class Case:
    """A misconfigured broker, what the publisher reports about it, and how the broker is repaired."""

    broken: str | Behaviour
    state: DeliveryState
    reason: str  # regular expression
    repaired: str = tls("server")
    scheme: str = "mqtts"
    cert: str = ""  # our own, when the broker is repaired
    broken_cert: str = ""
    password: str = ""
    protocol: str = "5"


REJECTED = r"the broker's certificate was rejected: .*"
OUR_CERTIFICATE = r"does the broker require another broker\.cert_file\?"
UNKNOWN_ISSUER = "broker.ca_file must contain the authority that signed it"
TLS_CASES = {
    "unknown authority": Case(tls("foreign"), "tls", f"{REJECTED}issuer certificate; {UNKNOWN_ISSUER}"),
    "self-signed": Case(tls("lonely"), "tls", f"{REJECTED}self-signed certificate; {UNKNOWN_ISSUER}"),
    "wrong name": Case(
        tls("elsewhere"), "tls", REJECTED + r"not valid for '127\.0\.0\.1'.*; broker.url must use a host"
    ),
    "expired": Case(tls("expired"), "tls", f"{REJECTED}has expired; it must be renewed"),
    "not yet valid": Case(tls("early"), "tls", REJECTED + r"not yet valid; is this host's clock right\?"),
    "TLS 1.1 only": Case(TLS_1_1_ONLY, "tls", r"the broker does not support TLS 1\.2 or newer"),
    "plain port": Case(
        ANONYMOUS, "tls", r"the TLS handshake failed: .*; is this the broker's TLS port, .* use mqtt://"
    ),
    "TLS port in plain text": Case(
        tls("server"),
        "unreachable",
        "the port speaks MQTT with TLS, not MQTT; use mqtts://",
        repaired=ANONYMOUS,
        scheme="mqtt",
    ),
    "never answers TLS": Case(never_answers, "unreachable", "handshake .*timed out"),
    "no client certificate": Case(tls("server", MUTUAL), "tls", OUR_CERTIFICATE),
    "expired client certificate": Case(
        tls("server", MUTUAL), "tls", OUR_CERTIFICATE, tls("server", MUTUAL), broken_cert="expired-here", cert="here"
    ),
    "client certificate of another authority": Case(
        tls("server", MUTUAL), "tls", OUR_CERTIFICATE, tls("server", MUTUAL), broken_cert="foreign-here", cert="here"
    ),
    "certificate of another host": Case(
        tls("server", MUTUAL),
        "degraded",
        rf"{BASE}/\S+ was rejected: Not authorized",
        repaired=tls("server", MUTUAL),
        broken_cert="barn",
        cert="here",
    ),
    "all is well": Case(tls("server"), "connected", "^$"),
    "all is well, mutual": Case(tls("server", MUTUAL), "connected", "^$", cert="here", broken_cert="here"),
    "all is well, a large chain": Case(tls("large"), "connected", "^$"),
}


def plain(broken: str | Behaviour, state: DeliveryState, reason: str, password: str = "", protocol: str = "5") -> Case:
    """Return a case without TLS, repaired by a broker that accepts everyone."""
    return Case(broken, state, reason, ANONYMOUS, "mqtt", password=password, protocol=protocol)


PLAIN_CASES = {
    "wrong password, MQTT 5": plain(
        PASSWORD, "unauthorized", r"are broker\.username and broker\.password_file right\?", "wrong"
    ),
    "wrong password, MQTT 3.1.1": plain(
        PASSWORD, "unauthorized", r"are broker\.username and broker\.password_file right\?", "wrong", "3.1.1"
    ),
    "anonymous rejected, MQTT 5": plain(PASSWORD, "unauthorized", r"Not authorized; are broker\.username"),
    "anonymous rejected, MQTT 3.1.1": plain(
        PASSWORD, "unauthorized", r"Not authorized; are broker\.username", protocol="3.1.1"
    ),
    "closes on publish": plain(
        closes_on_publish, "unreachable", "closed after our first messages; does it allow these topics"
    ),
    "taken over": plain(is_taken_over, "taken_over", "is a second edge-tdn with this `host` running"),
    "never answers": plain(never_answers, "unreachable", "no answer in 3 s; is this an MQTT broker"),
    "does not support MQTT 5": plain(does_not_support_mqtt_5, "unreachable", r'set broker\.protocol = "3\.1\.1"'),
}
CASES = TLS_CASES | PLAIN_CASES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of certificates by name, passwords, and access rules."""
    folder = tmp_path_factory.mktemp("authority")
    ca, other = Authority(folder, "ca"), Authority(folder, "other")
    between = Authority(folder, "between", ca)
    for name in ("server", "here", "barn"):
        ca.issue(name)
    ca.issue("elsewhere", "DNS:elsewhere.example, IP:127.0.0.2")
    for name in ("expired", "expired-here"):
        ca.issue(name, from_days=-3, to_days=-1)
    ca.issue("early", from_days=1, to_days=2)
    for name in ("foreign", "foreign-here"):
        other.issue(name)
    self_signed(folder, "lonely")
    between.issue("large", LARGE)
    (folder / "passwords").touch()
    subprocess.run(["mosquitto_passwd", "-b", folder / "passwords", "here", "right"], check=True)
    (folder / "own-topics").write_text("pattern write edge-tdn/%u/#\n")
    return folder


@pytest.fixture(scope="module")
def results(
    request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, "Future[None]"]]:
    """The selected cases, all at once: each waits most of the time."""
    logging.getLogger("edge_tdn").setLevel(logging.INFO)
    selected = [item.callspec.params.get("case") for item in request.session.items if hasattr(item, "callspec")]
    names = [name for name in CASES if name in selected]
    with ThreadPoolExecutor(len(names)) as pool:
        yield {name: pool.submit(_run, CASES[name], folder, tmp_path_factory.mktemp("broker")) for name in names}
    logging.getLogger("edge_tdn").setLevel(logging.NOTSET)


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_is_explained_and_loses_nothing(case: str, results: dict[str, "Future[None]"]) -> None:
    results[case].result()


def _run(case: Case, folder: Path, own: Path) -> None:
    broker = Mosquitto(own, case.broken.format(folder=folder) if isinstance(case.broken, str) else "")
    old = _tls_1_1_server(broker.guarded_port, folder) if case.broken == TLS_1_1_ONLY else None
    scripted = None if isinstance(case.broken, str) else ScriptedBroker(case.broken)
    wire = Wire(scripted.port if scripted else broker.guarded_port)
    publisher = _start(case, case.broken_cert, wire.port, folder, Outbox(own / "outbox", OutboxConfig()))
    began = time.monotonic()
    try:
        with _logged(wire.port) as lines:
            _publish(publisher, 1, 5)
            eventually(lambda: _is_reported(case, publisher.delivery), describe=lambda: publisher.delivery)
            if case.state == "connected":
                eventually(lambda: publisher.outbox_status.waiting == 0)
            else:
                time.sleep(max(0.0, began + 3 - time.monotonic()))
                assert publisher.outbox_status.waiting == 10
            if case.scheme == "mqtts":
                for word in (b"MQTT", b"daemon", BASE.encode(), b"left"):
                    assert word not in wire.sent, word
            wire.cut()
            if scripted:
                scripted.close()
            if old:
                old.terminate()
                old.wait()
            broker.stop()
            broker.guard(case.repaired.format(folder=folder))
            broker.start()
            wire.target = broker.guarded_port
            if case.cert != case.broken_cert:  # the daemon is started again, and finds the same outbox
                publisher.stop()
                publisher = _start(case, case.cert, wire.port, folder, _reopened_outbox(own / "outbox"))
            recorder = DeliveryRecorder(broker.port)
            wire.mend()
            _publish(publisher, 6, 6)
            seqs = [6] if case.state == "connected" else [1, 2, 3, 4, 5, 6]
            recorder.wait_for(lambda: publisher.outbox_status.waiting == 0 and len(recorder.events()) >= 2 * len(seqs))
            for camera in ("door", "gate"):
                assert recorder.seqs(camera) == seqs
            well = ("connected", "")
            eventually(
                lambda: (publisher.delivery.state, publisher.delivery.reason) == well,
                describe=lambda: publisher.delivery,
            )
            recorder.close()
            states = [line for line in lines if " was rejected: " not in line or " degraded: " in line]
            publishers = 1 + (case.cert != case.broken_cert)  # each logs its first state at once
            assert 1 <= len(states) <= publishers + time.monotonic() - began
            if case.scheme == "mqtts":
                assert b"MQTT" not in wire.sent
    finally:
        publisher.stop()
        wire.close()
        broker.stop()


def _is_reported(case: Case, delivery: Delivery) -> bool:
    """Return whether the case's state is reported; on a busy host a handshake may time out before it is rejected."""
    return delivery.state == case.state and bool(re.search(case.reason, delivery.reason))


def _reopened_outbox(folder: Path) -> Outbox:
    """Open an outbox whose lock a broker that another case is starting may still hold, between its fork and exec."""

    def opened() -> Outbox | None:
        with suppress(ConfigError):
            return Outbox(folder, OutboxConfig())
        return None

    outbox = eventually(opened)
    assert outbox
    return outbox


def _publish(publisher: Publisher, first: int, last: int) -> None:
    for seq in range(first, last + 1):
        for camera in ("door", "gate"):
            publisher.event(action_event(seq, camera))


def _start(case: Case, cert: str, port: int, folder: Path, outbox: Outbox) -> Publisher:
    files = {"cert": folder / f"{cert}.pem", "key": folder / f"{cert}.key"} if cert else {}
    access = Access(password=case.password or None, ca=folder / "ca.pem", **files)
    url, username = f"{case.scheme}://127.0.0.1:{port}", "here" if case.password else ""
    config = BrokerConfig.model_validate({"url": url, "protocol": case.protocol, "username": username})
    # a busy machine answers late, and the port is examined once; this server lets each question run out of time
    timing = ConnectionTiming() if case.broken is never_answers else ConnectionTiming(probe_s=5)
    connect = lambda will, inbox: Connection(config, "daemon", access, will, inbox, timing=timing)  # noqa: E731
    publisher = Publisher(BASE, "b007", outbox, connect, raise_failure)
    publisher.start()
    return publisher


def _tls_1_1_server(port: int, folder: Path) -> "subprocess.Popen[bytes]":
    """Start a TLS 1.1 server, as which mosquitto cannot be configured."""
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]
    files = ["-cert", folder / "server.pem", "-key", folder / "server.key", "-quiet"]
    server = subprocess.Popen([*command, *files], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
    return server


@contextmanager
def _logged(port: int) -> Iterator[list[str]]:
    """Collect the log lines about a broker."""
    lines: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if f":{port}" in record.getMessage():
                lines.append(record.getMessage())

    handler, logger = Collector(), logging.getLogger("edge_tdn")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


def test_invalid_tls_files_are_rejected_when_they_are_read(folder: Path) -> None:
    (folder / "junk.pem").write_text("not a certificate\n")
    command = ["openssl", "pkey", "-in", folder / "here.key", "-aes128", "-passout", "pass:secret", "-out"]
    subprocess.run([*command, folder / "locked.key"], check=True)
    ours = {"ca_file": "ca.pem", "cert_file": "here.pem", "key_file": "here.key"}
    tls_context(broker_access(BrokerConfig.model_validate({"url": "mqtts://x"} | ours), folder))
    for change, message in (
        ({"ca_file": "junk.pem"}, r"junk\.pem: broker\.ca_file contains no certificates in PEM"),
        ({"ca_file": "here.key"}, r"here\.key: broker\.ca_file contains no certificates in PEM"),
        ({"cert_file": "junk.pem"}, r"junk\.pem, .*here\.key: .*not a certificate in PEM and its key"),
        ({"key_file": "barn.key"}, r"barn\.key: .*not a certificate in PEM and its key.*MISMATCH|mismatch"),
        ({"key_file": "locked.key"}, r"locked\.key: .*without a pass phrase"),
        ({"key_file": ""}, r"here\.pem, with its key: .*not a certificate in PEM and its key"),
        ({"ca_file": "absent.pem"}, r"broker\.ca_file = 'absent\.pem': .*absent\.pem cannot be read: no such file"),
        ({"cert_file": "."}, r"broker\.cert_file = '\.': .* is (no|not a) regular file"),
        ({"key_file": "credential:key"}, r"broker\.key_file = 'credential:key': no \$CREDENTIALS_DIRECTORY"),
    ):
        config = BrokerConfig.model_validate({"url": "mqtts://x"} | ours | change)
        with pytest.raises(ConfigError, match=message) as raised:
            tls_context(broker_access(config, folder))
        assert raised.value.exit_status == 78
        assert "\n" not in str(raised.value)
    for wrong in ({"url": "mqtts://x", "key_file": "here.key"}, {"url": "mqtt://x", "ca_file": "ca.pem"}):
        with pytest.raises(ValueError, match=r"key_file needs a cert_file|sends in plain text"):
            BrokerConfig.model_validate(wrong)
