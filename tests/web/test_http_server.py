"""The limits of connections, time and streams, against clients that mean ill or are slow."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from edge_tdn.web import http_server, stream
from tests.support.authority import Authority, Certificate
from tests.support.page_server import (
    HOST,
    TOKEN,
    UNKNOWN,
    PageServer,
    is_closed,
    page_server,
    read_answer,
    with_limits,
    wrapped,
)
from tests.support.waiting import PATIENCE_S, eventually

SILENT = 200
CONNECTIONS = 32


def request(page: PageServer, target: str = UNKNOWN) -> bytes:
    """Return a whole request with a session."""
    return f"GET {target} HTTP/1.1\r\nHost: {HOST}:{page.port}\r\nCookie: {page.cookie()}\r\n\r\n".encode()


def post_head(page: PageServer, length: int) -> bytes:
    """Return the head of a login whose body has to follow."""
    return (
        f"POST /api/session HTTP/1.1\r\nHost: {HOST}:{page.port}\r\nOrigin: {page.origin}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def send_forever(connection: socket.socket, data: bytes) -> None:
    """Send until the server ends the connection. OSError: it has."""
    while True:
        connection.sendall(data)


@contextmanager
def open_streams(page: PageServer, count: int) -> Iterator[list[socket.socket]]:
    """Open streams of /api/stream, and wait until each has begun."""
    with ExitStack() as stack:
        streams = [stack.enter_context(page.connect()) for _ in range(count)]
        for one in streams:
            one.sendall(request(page, "/api/stream"))
        for one in streams:
            assert one.recv(65_536).startswith(b"HTTP/1.1 200")
        yield streams


def test_a_request_that_comes_byte_by_byte_is_ended(tmp_path: Path) -> None:
    """Slow loris: each byte is a sign of life, but the whole has a deadline. Here it would take minutes."""
    with page_server(tmp_path, with_limits(request_s=0.5)) as page, page.connect() as slow:
        whole = request(page, f"{UNKNOWN} HTTP/1.1\r\nX-Long: {'x' * 14_000}\r\nX-End:")
        sent = 0
        with suppress(OSError):
            for byte in whole:
                slow.sendall(bytes([byte]))
                sent += 1
                time.sleep(0.02)
        assert sent < len(whole)
        assert is_closed(slow)


def test_a_body_that_does_not_come_is_ended(tmp_path: Path) -> None:
    with page_server(tmp_path, with_limits(request_s=0.5)) as page, page.connect() as slow:
        slow.sendall(post_head(page, 100) + b"{")
        assert is_closed(slow)
        assert eventually(lambda: page.ask().status == 404), "this request has as little time"


def test_a_body_that_is_refused_and_comes_forever_is_ended(tmp_path: Path) -> None:
    with page_server(tmp_path) as page, page.connect() as sender:
        sender.sendall(post_head(page, 1_000_000_000))
        assert read_answer(sender).status == 413
        with pytest.raises(OSError):
            send_forever(sender, b"x" * 65_536)


def test_a_body_of_unknown_length_is_not_read_beyond_the_limit(tmp_path: Path) -> None:
    with page_server(tmp_path) as page, page.connect() as sender:
        head = post_head(page, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        sender.sendall(head + b"1000\r\n" + b"x" * 4096 + b"\r\n1\r\nx\r\n")  # and no end
        assert read_answer(sender).status == 413


def test_a_connection_that_sends_nothing_is_ended(tmp_path: Path) -> None:
    with page_server(tmp_path, with_limits(request_s=0.3)) as page, page.connect() as silent:
        assert is_closed(silent)


def test_a_connection_without_a_next_request_is_ended(tmp_path: Path) -> None:
    with page_server(tmp_path, with_limits(keep_alive_s=0.3)) as page, page.connect() as silent:
        silent.sendall(request(page))
        assert read_answer(silent).status == 404
        assert is_closed(silent)


def test_silent_connections_keep_no_one_out(tmp_path: Path) -> None:
    """They come first, and there are many more than the limit; no one waits until they have ended."""
    with page_server(tmp_path, with_limits(request_s=PATIENCE_S)) as page, ExitStack() as stack:
        silent = [stack.enter_context(page.connect()) for _ in range(SILENT)]
        for one in silent[::2]:
            one.sendall(b"GET / HTTP/1.1\r\nHost: ")
        assert page.ask().status == 404
        assert [is_closed(one) for one in silent[:10]] == [True] * 10


def test_bodies_that_do_not_come_keep_no_one_out(tmp_path: Path) -> None:
    with page_server(tmp_path, with_limits(request_s=PATIENCE_S)) as page, ExitStack() as stack:
        for _ in range(CONNECTIONS * 2):
            stack.enter_context(page.connect()).sendall(post_head(page, 100))
        assert page.ask().status == 404


def test_the_next_connection_is_turned_away_while_all_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "LINGER_S", PATIENCE_S)
    with page_server(tmp_path, with_limits(connections=4)) as page:
        with open_streams(page, 4):
            answer = page.send(request(page))
            assert answer.status == 503
            assert answer.headers["retry-after"] == "5"
            assert "too many connections" in answer.error
        assert eventually(lambda: page.send(request(page)).status == 404)


def test_a_stream_outlives_the_deadline_of_a_request(tmp_path: Path) -> None:
    with page_server(tmp_path, with_limits(request_s=1.0)) as page, ExitStack() as stack:

        def opened() -> socket.socket | None:
            one = stack.enter_context(page.connect())
            with suppress(OSError):  # on a busy machine the request itself may come too late
                one.sendall(request(page, "/api/stream"))
                return one if one.recv(65_536).startswith(b"HTTP/1.1 200") else None
            return None

        open_stream = eventually(opened)
        received = b""
        while received.count(b"event: ping") < 2:  # one every two seconds
            more = open_stream.recv(65_536)
            assert more
            received += more


def test_a_client_that_takes_nothing_is_ended(tmp_path: Path) -> None:
    """Its answers fill what lies between; then its connection ends, and its place is free."""
    with page_server(tmp_path, with_limits(write_s=0.5)) as page, page.connect() as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greedy.settimeout(PATIENCE_S)
        with pytest.raises(OSError):
            send_forever(greedy, request(page, "/static/vendor/uPlot.iife.min.js") * 100)


def test_a_stop_ends_open_streams_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are woken: there is not any ping at whose time they could find out, nor an end by force."""
    monkeypatch.setattr(stream, "PING_S", 3600.0)
    with page_server(tmp_path, with_limits(stop_s=PATIENCE_S)) as page, open_streams(page, 16) as streams:
        with page.connect() as idle:
            page.thread.stop()
            page.thread.join(PATIENCE_S)
            assert is_closed(idle)
        for one in streams:
            received = b""
            while more := one.recv(65_536):
                received += more
            assert received.endswith(b"0\r\n\r\n")  # as a whole answer ends
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, page.port)).close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    return authority.issue("page")


@contextmanager
def encrypted_page(folder: Path, certificate: Certificate, **limits: float) -> Iterator[PageServer]:
    """Run a page with a certificate."""
    files = {"cert_file": str(certificate.cert), "key_file": str(certificate.key)}
    with page_server(folder, with_limits(**limits), **files) as page:
        yield page


def test_a_page_with_a_certificate_is_encrypted(tmp_path: Path, certificate: Certificate, authority: Authority) -> None:
    with encrypted_page(tmp_path, certificate, handshake_s=PATIENCE_S) as page:
        assert page.thread.address == f"https://{HOST}:{page.port}/"
        body = b'{"token": "%s"}' % TOKEN.encode()
        with wrapped(page.connect(), authority.certificate.cert) as connection:
            connection.sendall(post_head(page, len(body)).replace(b"http://", b"https://") + body)
            answer = read_answer(connection)
        assert answer.status == 204
        assert "; Secure" in answer.headers["set-cookie"]
        assert page.send(request(page)).status == 0  # in plain text


def test_a_renewed_certificate_is_used_without_a_restart(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """As a program that renews it has written it, once it is whole; a connection that is open stays."""
    served = authority.issue("served")
    with encrypted_page(tmp_path, served, request_s=PATIENCE_S, handshake_s=PATIENCE_S) as page:

        def certificate() -> bytes:
            with wrapped(page.connect(), authority.certificate.cert) as connection:
                return connection.getpeercert(binary_form=True) or b""

        with wrapped(page.connect(), authority.certificate.cert) as opened:
            first, renewed = certificate(), authority.issue("renewed")
            served.cert.write_bytes(renewed.cert.read_bytes())  # and not yet its key
            page.thread.renew()
            assert "the certificate before stays in use" in caplog.text
            assert certificate() == first
            served.key.write_bytes(renewed.key.read_bytes())
            page.thread.renew()
            assert certificate() != first
            opened.sendall(request(page))
            assert read_answer(opened).status


def test_an_old_version_of_tls_is_refused(tmp_path: Path, certificate: Certificate) -> None:
    with encrypted_page(tmp_path, certificate) as page, page.connect() as connection:
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            old.wrap_socket(connection)


def test_a_handshake_that_does_not_come_is_ended(tmp_path: Path, certificate: Certificate) -> None:
    with encrypted_page(tmp_path, certificate, handshake_s=0.3) as page, page.connect() as silent:
        assert is_closed(silent)


def test_silent_connections_keep_no_one_out_of_an_encrypted_page(
    tmp_path: Path, certificate: Certificate, authority: Authority
) -> None:
    """They count before their handshake, so that they cannot use up the file descriptors of the daemon."""
    with encrypted_page(tmp_path, certificate, handshake_s=PATIENCE_S) as page, ExitStack() as stack:
        silent = [stack.enter_context(page.connect()) for _ in range(SILENT)]
        with wrapped(page.connect(), authority.certificate.cert) as connection:
            connection.sendall(request(page))
            assert read_answer(connection).status == 404
        assert [is_closed(one) for one in silent[:10]] == [True] * 10


def test_clients_that_leave_at_any_moment_harm_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with page_server(tmp_path) as page:
        whole = request(page, "/static/vendor/uPlot.iife.min.js")
        for length in range(0, len(whole) + 1, 7):
            with page.connect() as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset at its end
                connection.sendall(whole[:length])
        assert page.ask().status == 404
    assert "Traceback" not in caplog.text


def test_many_clients_at_once_are_all_answered(tmp_path: Path) -> None:
    with page_server(tmp_path) as page:
        statuses: list[int] = []
        clients = [threading.Thread(target=lambda: statuses.append(page.ask().status)) for _ in range(16)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
    assert statuses == [404] * 16
