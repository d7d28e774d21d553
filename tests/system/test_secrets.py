"""Passwords are nowhere: not in the log, the statuses, the metrics, the process's own entries in /proc.

Two real daemons, which have everything to tell: cameras that refuse, are away, are misspelt and fail by a traceback,
GStreamer's and paho's own debug output, a broker that lets in and one that does not.
"""

import base64
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from edge_tdn.delivery.mqtt import Message, Received
from edge_tdn.media import gstreamer
from tests.support.authority import Authority
from tests.support.broker import Mosquitto
from tests.support.ports import free_port
from tests.support.rtsp import RtspCamera

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")

BROKER, WRONG, CAMERA, OTHER = "br0ker-Pa55", "wr0ng-Pa55", "c@mera Pa55", "oth3r-Pa55"
SECRETS = (BROKER, WRONG, CAMERA, OTHER)
FFMPEG = r"^\[\w+ @ 0x|method DESCRIBE failed|Connection to tcp"  # through OpenCV, past the log
# What stands in for a camera's fault that nobody foresaw: its words are the worst possible.
PROGRAM = """
import sys
from edge_tdn import pipeline
from edge_tdn.__main__ import main

take = pipeline.Camera._take
def taken(self, frame):
    if self.name == "broken":
        raise RuntimeError(f"no such luck: {self._source._camera.source}")
    take(self, frame)
pipeline.Camera._take = taken
sys.exit(main())
"""


def forms(secret: str, user: str) -> set[str]:
    """As a program may print it."""
    encoded = {base64.b64encode(f"{user}:{secret}".encode()).decode()}
    return {secret, quote(secret), quote(secret, safe=""), repr(secret)[1:-1], *encoded}


FORBIDDEN = {form for secret in SECRETS for user in ("", "camera", "here", "u") for form in forms(secret, user)}


class Daemon:
    """`edge-tdn --verbose run` as systemd starts it: stderr is the journal."""

    def __init__(self, config: Path, **environment: str) -> None:
        reading, writing = os.pipe()
        opened = os.fstat(writing)
        environment["JOURNAL_STREAM"] = f"{opened.st_dev}:{opened.st_ino}"
        command = [sys.executable, "-c", PROGRAM, "--verbose", "run", "--config", str(config)]
        self.process = subprocess.Popen(command, stderr=writing, env=os.environ | environment)
        os.close(writing)
        self.said = b""
        self._reader = threading.Thread(target=self._read, args=(reading,), daemon=True)
        self._reader.start()

    def _read(self, reading: int) -> None:
        with open(reading, "rb") as lines:
            for line in lines:
                self.said += line

    def of_the_process(self) -> bytes:
        folder = Path("/proc", str(self.process.pid))
        return b"".join((folder / name).read_bytes() for name in ("cmdline", "environ", "comm"))

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self._reader.join(30)


def wait(condition: Callable[[], bool], told: Callable[[], object], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.05)


def test_passwords_are_nowhere(tmp_path: Path, rtsp: Callable[..., RtspCamera]) -> None:
    metrics = free_port()
    subprocess.run(["mosquitto_passwd", "-b", "-c", tmp_path / "passwords", "here", BROKER], check=True)
    authority = Authority(tmp_path, "ca")
    authority.issue("server")
    authority.issue("here")
    pem = f"cafile {tmp_path}/ca.pem\ncertfile {tmp_path}/server.pem\nkeyfile {tmp_path}/server.key\n"
    broker = Mosquitto(tmp_path, f"{pem}allow_anonymous false\npassword_file {tmp_path}/passwords")
    camera = rtsp(CAMERA)
    (tmp_path / "camera.password").write_text(f"{CAMERA}\n")
    connection, link = broker.link()
    link.subscribe("#")
    url = camera.url(f"camera:{quote(CAMERA)}@")
    sources = {
        "good": url,
        "keyed": camera.url(),
        "refused": url.replace(quote(CAMERA), WRONG),
        "absent": url.replace("/test", "/nowhere"),
        "away": f"http://u:{OTHER}@127.0.0.1:1/x?password={OTHER}",
        "misspelt": f"gst: rtspsrc location={camera.url(f'u:{OTHER}@')} user-pw={OTHER} ! foo",
        "plain": f"gst: rtspsrc location={camera.url()} user-id=camera user-pw={WRONG} ! decodebin",
        "broken": url,
        "opencv": url.replace(quote(CAMERA), WRONG),
    }

    def site(name: str, password: str, cameras: dict[str, str], extra: str = "") -> Path:
        (tmp_path / f"{name}.password").write_text(f"{password}\n")
        path = tmp_path / f"{name}.toml"
        own = {"opencv": 'decoder = "opencv"', "keyed": 'username = "camera"\npassword_file = "camera.password"'}
        tables = [
            f'[[camera]]\nname = "{one}"\nsource = "{source}"\n{own.get(one, "")}\n' for one, source in cameras.items()
        ]
        path.write_text(
            f'host = "{name}"\n[broker]\nurl = "mqtts://127.0.0.1:{broker.guarded_port}"\nusername = "here"\n'
            f'password_file = "{name}.password"\nca_file = "ca.pem"\ncert_file = "here.pem"\nkey_file = "here.key"\n'
            f'[outbox]\nfolder = "{name}.outbox"\n{extra}\n{"".join(tables)}'
        )
        return path

    first = site("first", BROKER, sources, f"[metrics]\nport = {metrics}\n[record]\nsnapshot = true")
    second = site("second", WRONG, {"demo": "demo:"})
    heard: list[Received] = []

    def listen() -> None:
        while not connection.notes.empty():
            note = connection.notes.get()
            if isinstance(note, Received):
                heard.append(note)

    def told(topic: str, word: bytes) -> bool:
        listen()
        return any(note.topic == topic and word in note.payload for note in heard)

    daemons = []
    try:
        daemons.append(Daemon(first, GST_DEBUG="rtspsrc:5,rtspconnection:5,GST_PIPELINE:5"))
        daemons.append(Daemon(second))
        served, shut_out = daemons
        for line in (
            rb"camera=good state=streaming", rb"camera=keyed state=streaming",
            rb"camera=refused state=unauthorized", rb"camera=absent state=unreachable",
            rb"camera=away state=unreachable", rb"camera=misspelt state=ended", rb"camera=plain state=unauthorized",
            rb"camera=broken failed", rb"camera=broken \| RuntimeError", rb"camera=opencv state=unreachable",
            rb"broker=127\.0\.0\.1:\d+ connected", rb"broker=127\.0\.0\.1:\d+ Sending CONNECT",
            rb"<7>0:\S+ .*rtspsrc", rb"<7>0:\S+ .*GST_PIPELINE.*user-pw=\*\*\*",
        ):  # fmt: skip
            wait(lambda: re.search(line, served.said) is not None, lambda: (line, served.said.decode()[-20_000:]))  # noqa: B023
        wait(lambda: b" unauthorized: " in shut_out.said, lambda: shut_out.said)
        served.process.send_signal(signal.SIGHUP)  # which is refused, for what is misspelt
        wait(lambda: told("edge-tdn/first/status", b'"state":"refused"'), lambda: served.said.decode()[-20_000:])
        assert b" refused, the one before stays in force: " in served.said
        with urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=60) as answer:
            scraped = answer.read()
        processes = b"".join(daemon.of_the_process() for daemon in daemons)
    finally:
        for daemon in daemons:
            daemon.end()
    link.publish(Message("over", b""))  # it comes behind all that the daemons said
    wait(lambda: told("over", b""), lambda: heard)
    connection.close()
    broker.stop()
    topics = {note.topic for note in heard}
    assert {f"edge-tdn/first/{name}/status" for name in sources} <= topics
    assert b"edge_tdn_camera_frames_total" in scraped
    assert b"--config" in processes
    everything = {
        "log of the first": served.said,
        "log of the second": shut_out.said,
        "topics": b"\n".join(note.topic.encode() + note.payload for note in heard),
        "metrics": scraped,
        "processes": processes,
    }
    key = "".join((tmp_path / "here.key").read_text().splitlines()[1:-1])
    pieces = {key[i : i + 32] for i in range(0, len(key) - 32, 8)}
    for where, what in everything.items():
        text = what.decode(errors="replace")
        assert not [form for form in FORBIDDEN | pieces if form in text], where
    for line in (served.said + shut_out.said).decode(errors="replace").splitlines():
        assert re.match(r"<[2-7]>", line) or re.search(FFMPEG, line), f"neither ours nor FFmpeg's: {line}"
