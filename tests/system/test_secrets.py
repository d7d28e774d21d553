"""Passwords appear nowhere: not in the log, the statuses, the metrics, the page or the process's entries in /proc.

Two real daemons with every occasion to leak: cameras that reject us, are away, are misspelt or fail with a traceback,
GStreamer's and paho's own debug output, a broker that accepts the client and one that does not.
"""

import base64
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from edge_tdn.media import gstreamer
from tests.support.authority import Authority
from tests.support.broker import Mosquitto
from tests.support.mqtt import RecordingClient
from tests.support.page_client import PageClient
from tests.support.page_routes import page_routes
from tests.support.ports import free_port
from tests.support.rtsp import RtspCamera
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")

BROKER, WRONG, CAMERA, OTHER = "br0ker-Pa55", "wr0ng-Pa55", "c@mera Pa55", "oth3r-Pa55"
TOKEN = "t0ken+Of/the=Page"
SECRETS = (BROKER, WRONG, CAMERA, OTHER, TOKEN)
RECORDING, CLIP = "20260301T120000.000Z_left_1.jpg", "20260301T120000Z-1.mp4"
STREAM = "/api/stream"
TARGETS = {  # of every GET of the page, by its route
    "/": "/",
    "/favicon.svg": "/favicon.svg",
    "/static/{name:path}": "/static/js/main.js",
    "/api/state": "/api/state",
    STREAM: STREAM,
    "/api/camera/{camera}/picture": "/api/camera/good/picture",
    "/api/camera/{camera}/scores": "/api/camera/good/scores",
    "/api/camera/{camera}/what-if": "/api/camera/good/what-if?enter=0.7&exit=0.4",
    "/api/camera/{camera}/zone-lines": "/api/camera/good/zone-lines?name=gate&region=0.1,0.2,0.5,0.5",
    "/api/events": "/api/events",
    "/api/recording/{camera}/{name}": f"/api/recording/good/{RECORDING}",
    "/api/teach": "/api/teach",
    "/api/teach/clips": "/api/teach/clips",
    "/api/teach/archive": "/api/teach/archive",
    "/api/clip/{label}/{name}": f"/api/clip/wave/{CLIP}",
}
FFMPEG = r"^\[\w+ @ 0x|method DESCRIBE failed|Connection to tcp"  # through OpenCV, past the log
# Injects an unforeseen fault whose message contains the camera's whole address.
PROGRAM = """
import sys
from edge_tdn.service.camera_thread import CameraThread
from edge_tdn.__main__ import main

take = CameraThread._take
def taken(self, frame):
    if self._name == "broken":
        raise RuntimeError(f"no such luck: {self._source._camera.source}")
    take(self, frame)
CameraThread._take = taken
sys.exit(main())
"""


def forms(secret: str, user: str) -> set[str]:
    """Return the forms in which a program may print a secret."""
    encoded = {base64.b64encode(f"{user}:{secret}".encode()).decode()}
    return {secret, quote(secret), quote(secret, safe=""), repr(secret)[1:-1], *encoded}


FORBIDDEN = {form for secret in SECRETS for user in ("", "camera", "here", "u") for form in forms(secret, user)}


EXPECTED = (
    rb"camera=good state=streaming",
    rb"camera=keyed state=streaming",
    rb"camera=refused state=unauthorized",
    rb"camera=absent state=unreachable",
    rb"camera=away state=unreachable",
    rb"camera=misspelt state=ended",
    rb"camera=plain state=unauthorized",
    rb"camera=broken failed",
    rb"camera=broken \| RuntimeError",
    rb"camera=opencv state=unreachable",
    rb"broker=127\.0\.0\.1:\d+ connected",
    rb"broker=127\.0\.0\.1:\d+ Sending CONNECT",
    rb"<7>0:\S+ .*rtspsrc",
    rb"<7>0:\S+ .*GST_PIPELINE.*user-pw=\*\*\*",
)


class JournalledDaemon:
    """`edge-tdn --verbose run` as systemd starts it: stderr is the journal."""

    def __init__(self, config: Path, **environment: str) -> None:
        reading, writing = os.pipe()
        opened = os.fstat(writing)
        environment["JOURNAL_STREAM"] = f"{opened.st_dev}:{opened.st_ino}"
        command = [sys.executable, "-c", PROGRAM, "--verbose", "run", "--config", str(config)]
        self.process = subprocess.Popen(command, stderr=writing, env=os.environ | environment)
        os.close(writing)
        self._lines: list[bytes] = []  # appended to by the reader
        self._reader = threading.Thread(target=self._read, args=(reading,), daemon=True)
        self._reader.start()

    def _read(self, reading: int) -> None:
        with open(reading, "rb") as lines:
            for line in lines:
                self._lines.append(line)

    @property
    def log(self) -> bytes:
        """The log so far."""
        return b"".join(self._lines)

    def process_entries(self) -> bytes:
        folder = Path("/proc", str(self.process.pid))
        return b"".join((folder / name).read_bytes() for name in ("cmdline", "environ", "comm"))

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)


def _logged(daemon: JournalledDaemon, pattern: bytes) -> bool:
    return re.search(pattern, daemon.log) is not None


def answers_of_the_page(client: PageClient, cookie: str, cameras: Iterable[str]) -> bytes:
    """Return heads and bodies of all answers to GET: those with content, of every camera, and without a session."""
    found = []

    def asked(target: str, headers: dict[str, str]) -> int:
        status, body, head = client.request("GET", target, headers)
        found.append(f"{target} {status} {head}\n".encode() + body)
        return status

    for target in (one for one in TARGETS.values() if one != STREAM):
        eventually(lambda: asked(target, {"Cookie": cookie}) == 200, describe=lambda: found[-1])  # noqa: B023
        for camera in cameras if "/good/" in target else ():
            asked(target.replace("/good/", f"/{camera}/"), {"Cookie": cookie})
        asked(target, {})
    return b"\n".join([*found, client.stream(cookie, until="camera")])


def test_passwords_appear_nowhere(tmp_path: Path, rtsp: Callable[..., RtspCamera]) -> None:
    metrics, page = free_port(), PageClient(free_port())
    for folder, name in ((tmp_path / "recordings/good", RECORDING), (tmp_path / "taught/clips/wave", CLIP)):
        folder.mkdir(parents=True)
        (folder / name).write_bytes(b"content")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    web = f'[web]\nport = {page.port}\ntoken_file = "token"\nlabel_folder = "taught"\n'
    record = '[record]\nsnapshot = true\nfolder = "recordings"'
    subprocess.run(["mosquitto_passwd", "-b", "-c", tmp_path / "passwords", "here", BROKER], check=True)
    authority = Authority(tmp_path, "ca")
    authority.issue("server")
    authority.issue("here")
    pem = f"cafile {tmp_path}/ca.pem\ncertfile {tmp_path}/server.pem\nkeyfile {tmp_path}/server.key\n"
    broker = Mosquitto(tmp_path, f"{pem}allow_anonymous false\npassword_file {tmp_path}/passwords")
    camera = rtsp(CAMERA)
    (tmp_path / "camera.password").write_text(f"{CAMERA}\n")
    recorder = RecordingClient(broker.port, "#")
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

    first = site("first", BROKER, sources, f"[metrics]\nport = {metrics}\n{web}{record}")
    second = site("second", WRONG, {"demo": "demo:"})
    daemons = []
    try:
        daemons.append(JournalledDaemon(first, GST_DEBUG="rtspsrc:5,rtspconnection:5,GST_PIPELINE:5"))
        daemons.append(JournalledDaemon(second))
        served, rejected = daemons
        for line in EXPECTED:
            eventually(partial(_logged, served, line), describe=lambda: (line, served.log.decode()[-20_000:]))  # noqa: B023
        eventually(lambda: b" unauthorized: " in rejected.log, describe=lambda: rejected.log)
        served.process.send_signal(signal.SIGHUP)  # refused, because of the misspelt camera
        recorder.wait_for(
            lambda: any(b'"state":"refused"' in message.payload for message in recorder.on("edge-tdn/first/status"))
        )
        eventually(partial(_logged, served, b" refused, the one before stays in force: "))
        with urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=60) as answer:
            scraped = answer.read()
        shown = answers_of_the_page(page, page.session(TOKEN), sources)
        processes = b"".join(daemon.process_entries() for daemon in daemons)
    finally:
        for daemon in daemons:
            daemon.end()
    recorder.synchronize()
    recorder.close()
    broker.stop()
    topics = {message.topic for message in recorder.messages}
    assert {f"edge-tdn/first/{name}/status" for name in sources} <= topics
    assert b"edge_tdn_camera_frames_total" in scraped
    assert b"--config" in processes
    assert {route.path for route in page_routes() if "GET" in (route.methods or ())} == set(TARGETS)
    assert all(f'"name":"{name}"'.encode() in shown for name in sources)
    everything = {
        "log of the first": served.log,
        "log of the second": rejected.log,
        "topics": b"\n".join(message.topic.encode() + message.payload for message in recorder.messages),
        "metrics": scraped,
        "answers of the page": shown,
        "processes": processes,
    }
    key = "".join((tmp_path / "here.key").read_text().splitlines()[1:-1])
    pieces = {key[i : i + 32] for i in range(0, len(key) - 32, 8)}
    for where, what in everything.items():
        text = what.decode(errors="replace")
        assert not [form for form in FORBIDDEN | pieces if form in text], where
    for line in (served.log + rejected.log).decode(errors="replace").splitlines():
        assert re.match(r"<[2-7]>", line) or re.search(FFMPEG, line), f"neither ours nor FFmpeg's: {line}"
