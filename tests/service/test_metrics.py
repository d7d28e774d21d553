"""What Prometheus reads of a real daemon, compared with what the daemon tells over a real broker."""

import http.client
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge_tdn.config.tables import Config, load
from edge_tdn.errors import ConfigError
from edge_tdn.messages import CameraStatus, ConfigStatus, DaemonStatus, Delivery, ModelRef, OutboxStatus, State
from edge_tdn.service import metrics as metrics_module
from edge_tdn.service.metrics import Metrics
from tests.support.broker import Mosquitto
from tests.support.daemon import DaemonProcess
from tests.support.mqtt import HostRecorder
from tests.support.ports import free_port
from tests.support.site import write_site

EAGER = """
[decide]
smoothing_clips = 1
enter_threshold = 0.2
exit_threshold = 0.2
min_length_s = 0.0
update_interval_s = 0.3
"""
STAGES = ("capture", "window", "infer", "decide")
Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(port: int) -> Callable[..., float]:
    """figure("edge_tdn_events_delivered_total"), or with labels, as of now."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        assert answer.status == 200
        families = list(text_string_to_metric_families(answer.read().decode()))
    figures: Figures = {
        (one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples
    }

    def figure(name: str, **labels: str) -> float:
        return figures[name, frozenset(labels.items())]

    return figure


def newest(heard: HostRecorder, camera: str) -> dict[str, Any]:
    """The camera's last status."""
    statuses = heard.of(camera, "status")
    return statuses[-1] if statuses else {"state": "", "clips": 0}


def test_the_figures_are_those_of_statuses_and_events(
    broker: Mosquitto, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    """A looped camera, a video that ends, a camera that is not there; and a broker that goes and comes back.

    Every event that a subscriber has was delivered, and timed on its way out and on the way back of its PUBACK.
    """
    make_video(frames=45, rate=15)
    port = free_port()
    config = write_site(
        tmp_path, broker.url, 'name = "live"\nsource = "demo:"\nloop = true',
        'name = "file"\nsource = "video.mp4"\nmotion_gate = false',
        'name = "gone"\nsource = "rtsp://u:p@127.0.0.1:1/x"',
        extra=f"{EAGER}\n[metrics]\nport = {port}",
    )  # fmt: skip
    heard = HostRecorder(broker.port, "edge-tdn/test")
    with DaemonProcess(config) as daemon:
        heard.wait_for(lambda: newest(heard, "file")["state"] == "ended" and len(heard.of("live", "events")) > 4)
        heard.wait_for(lambda: _counted(heard, port))

        # what is over can be compared exactly, once its last clip is told
        heard.wait_for(lambda: _alike(heard, port))
        before = newest(heard, "live")
        figure = scrape(port)
        over = newest(heard, "file")
        assert figure("edge_tdn_camera_frames_total", camera="file") == over["frames"] == 45
        assert over["clips"] > 0
        for stage in STAGES:
            count = figure("edge_tdn_latency_seconds_count", camera="file", stage=stage)
            assert 0 <= figure("edge_tdn_latency_seconds_sum", camera="file", stage=stage) < 5 * count
        assert figure("edge_tdn_camera_connects_total", camera="file") == over["connects"] == 1
        assert figure("edge_tdn_camera_connects_total", camera="gone") == 0
        for camera, state in (("live", "streaming"), ("file", "ended"), ("gone", newest(heard, "gone")["state"])):
            assert figure("edge_tdn_camera_state", camera=camera, state=state) == 1
            assert figure("edge_tdn_camera_state", camera=camera, state="disabled") == 0
        assert figure("edge_tdn_model_info", id="motion", precision="fp32", device="CPU", sha256=_sha256(heard)) == 1

        # what goes on lies between the status before and the one after
        scraped = figure("edge_tdn_camera_frames_total", camera="live")
        heard.wait_for(lambda: newest(heard, "live")["frames"] > scraped + 15)  # so this is a status of later
        after = newest(heard, "live")
        for name, field in (("frames", "frames"), ("clips", "clips"), ("ticks_repeated", "repeated")):
            assert before[field] <= figure(f"edge_tdn_camera_{name}_total", camera="live") <= after[field]
        # not at once, where the machine is busy
        heard.wait_for(lambda: scrape(port)("edge_tdn_camera_hop_segments", camera="live") == 1)
        rate = pytest.approx(30, abs=3)
        heard.wait_for(lambda: scrape(port)("edge_tdn_camera_frames_per_second", camera="live") == rate)

        broker.stop()
        heard.wait_for(lambda: scrape(port)("edge_tdn_broker_connected") == 0)
        assert scrape(port)("edge_tdn_broker_state", state="connected") == 0
        heard.wait_for(lambda: scrape(port)("edge_tdn_outbox_events") > 0)
        assert scrape(port)("edge_tdn_outbox_bytes") > 100
        broker.start()
        heard.wait_for(lambda: scrape(port)("edge_tdn_broker_connected") == 1)
        assert scrape(port)("edge_tdn_broker_connects_total") == 2
        heard.close()
        daemon.process.terminate()
        assert daemon.wait(60) == 0
        assert "metrics" not in daemon.log()


def _sha256(heard: HostRecorder) -> str:
    return str(heard.daemon_statuses()[0]["model"]["sha256"])


def _alike(heard: HostRecorder, port: int) -> bool:
    """What is scraped of the file is what its last status says."""
    figure, over = scrape(port), newest(heard, "file")
    names = {"clips": "clips", "gated": "clips_gated", "shed": "segments_shed", "gaps": "gaps"}
    told = [over[field] for field in names] + len(STAGES) * [over["clips"] - over["gated"]]
    with suppress(KeyError):  # no clip of it yet
        scraped = [figure(f"edge_tdn_camera_{name}_total", camera="file") for name in names.values()]
        scraped += [figure("edge_tdn_latency_seconds_count", camera="file", stage=stage) for stage in STAGES]
        return scraped == told
    return False


def _counted(heard: HostRecorder, port: int) -> bool:
    """As many events were heard as were delivered, and timed on their way out and back."""
    figure = scrape(port)
    counts = {len(heard.of("live", "events")) + len(heard.of("file", "events"))}
    counts.add(int(figure("edge_tdn_events_delivered_total")))
    told = [camera for camera in ("live", "file") if heard.of(camera, "events")]
    with suppress(KeyError):  # none of this camera's yet
        for stage in ("publish", "puback"):
            timed = [figure("edge_tdn_latency_seconds_count", camera=camera, stage=stage) for camera in told]
            counts.add(int(sum(timed)))
        return len(counts) == 1
    return False


# Without a daemon


def config(tmp_path: Path, port: int, address: str = "127.0.0.1") -> Config:
    path = tmp_path / "site.toml"
    path.write_text(f'[metrics]\nport = {port}\naddress = "{address}"\n[[camera]]\nname = "a"\nsource = "demo:"\n')
    return load(path)


MOMENT = "2026-03-01T12:00:00.000Z"


def daemon_now() -> DaemonStatus:
    return DaemonStatus(
        host="here", version="1", boot="b001", started_at=MOMENT,
        model=ModelRef(id="m", precision="fp32", sha256="0" * 64), device="CPU", cameras=[], session=1,
        delivery=Delivery(state="connected", reason="", since=MOMENT),
        outbox=OutboxStatus(state="ok", reason="", waiting=0, dropped=0, lost=0),
        config=ConfigStatus(state="in_force", reason="", since=MOMENT),
    )  # fmt: skip


def camera_now(name: str, state: State) -> CameraStatus:
    return CameraStatus(
        camera=name, state=state, reason="", since=MOMENT, fps=25.0, width=640, height=480, hop=1, latency_ms=31.5,
        clips=10, gated=0, shed=0, gaps=0,
    )  # fmt: skip


def test_cameras_come_and_go(tmp_path: Path) -> None:
    cameras = [camera_now("one", "streaming")]
    metrics = Metrics(config(tmp_path, port := free_port()), lambda: cameras, daemon_now)
    metrics.start()
    try:
        metrics.observe("one", "infer", 0.03)
        figure = scrape(port)
        assert figure("edge_tdn_camera_state", camera="one", state="streaming") == 1
        bucket = {"camera": "one", "stage": "infer"}
        assert [figure("edge_tdn_latency_seconds_bucket", **bucket, le=le) for le in ("0.02", "0.05", "+Inf")] == [
            0,
            1,
            1,
        ]
        cameras[:] = [camera_now("two", "frozen")]
        figure = scrape(port)
        assert figure("edge_tdn_camera_state", camera="two", state="frozen") == 1
        with pytest.raises(KeyError):
            figure("edge_tdn_camera_state", camera="one", state="streaming")
        with pytest.raises(KeyError):
            scrape(port)("edge_tdn_latency_seconds_count", **bucket)
    finally:
        metrics.close()


def test_who_does_not_ask_is_not_waited_for_and_one_failure_is_not_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rude: set[tuple[str, int]] = set()
    patience = property(lambda handler: 0.2 if handler.client_address in rude else 30)
    monkeypatch.setattr(metrics_module._Handler, "timeout", patience)

    def rudely_connected() -> socket.socket:
        one = socket.socket()
        one.bind(("127.0.0.1", 0))
        rude.add(one.getsockname())
        one.connect(("127.0.0.1", port))
        return one

    broken = True

    def cameras() -> list[CameraStatus]:
        if broken:
            raise RuntimeError("no such luck")
        return []

    metrics = Metrics(config(tmp_path, port := free_port()), cameras, daemon_now)
    metrics.start()
    try:
        with rudely_connected(), pytest.raises((OSError, http.client.HTTPException)):
            scrape(port)
        broken = False
        with rudely_connected() as half:
            half.sendall(b"GET /metrics HT")
            assert scrape(port)("edge_tdn_broker_connected") == 1
    finally:
        metrics.close()
    with pytest.raises(OSError, match="refused"):
        scrape(port)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1", r"site\.toml:2: metrics\.port = \d+: Address already in use; another one is free"),
        ("192.0.2.7", r"site\.toml:3: metrics\.address = '192\.0\.2\.7': Cannot assign requested address; allowed: an"),
        ("no such host", r"site\.toml:3: metrics\.address = 'no such host': .*; allowed: an address of this host"),
    ],
)
def test_a_port_or_address_that_cannot_be_had_is_exit_78(address: str, said: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match=said) as told:
        Metrics(config(tmp_path, taken.getsockname()[1], address), list, daemon_now)
    assert told.value.exit_status == 78


def test_an_address_of_version_6_is_one_too(tmp_path: Path) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    wanted = config(tmp_path, free_port(), "::1")
    try:
        metrics = Metrics(wanted, list, daemon_now)
    except ConfigError:
        pytest.skip("no ::1 here")
    metrics.start()
    try:
        with urlopen(wanted.metrics.url, timeout=5) as answer:
            assert b"edge_tdn_broker_connected 1.0" in answer.read()
    finally:
        metrics.close()
