"""The metrics of a real daemon, compared with the statuses and events that it publishes to a real broker."""

import errno
import http.client
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from edge_tdn.__main__ import main
from edge_tdn.config.load import load
from edge_tdn.config.tables import Config
from edge_tdn.errors import ConfigError
from edge_tdn.messages import ModelRef, State
from edge_tdn.service.metrics import Metrics
from edge_tdn.service.metrics_port import in_use
from edge_tdn.service.timing import MetricsTiming
from edge_tdn.status_messages import (
    CameraStatus,
    CameraThresholds,
    ConfigStatus,
    DaemonStatus,
    Delivery,
    ModelStatus,
    OutboxStatus,
    RuntimeStatus,
    ZoneStatus,
)
from tests.support.broker import Mosquitto
from tests.support.daemon import DaemonProcess
from tests.support.mqtt import HostRecorder
from tests.support.ports import free_port
from tests.support.site import write_site
from tests.support.waiting import eventually

EAGER = """
[decide]
smoothing_s = 0.0
enter_threshold = 0.2
exit_threshold = 0.2
min_length_s = 0.0
merge_gap_s = 0.0
cool_down_s = 0.0
update_interval_s = 0.3
"""
STAGES = ("capture", "window", "infer", "decide")
FRAMES = 150  # of a file: long enough for some clips, also of a host that sheds most of them
Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(port: int) -> Callable[..., float]:
    """Scrape once, and return a function from a metric's name and labels to its value."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        assert answer.status == 200
        families = list(text_string_to_metric_families(answer.read().decode()))
    figures: Figures = {
        (one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples
    }

    def figure(name: str, **labels: str) -> float:
        return figures[name, frozenset(labels.items())]

    return figure


def newest(client: HostRecorder, camera: str) -> dict[str, Any]:
    """Return the camera's last status."""
    statuses = client.of(camera, "status")
    return statuses[-1] if statuses else {"state": "", "clips": 0}


def test_metrics_agree_with_statuses_and_events(
    broker: Mosquitto, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    """A looped camera, a video that ends, a camera that is absent; and a broker that goes away and comes back.

    Every event that a subscriber received was counted as delivered, and timed until it was sent and acknowledged.
    """
    make_video(frames=FRAMES, rate=15)
    port = free_port()
    config = write_site(
        tmp_path,
        broker.url,
        'name = "live"\nsource = "demo:"\nloop = true',
        'name = "file"\nsource = "video.mp4"\nmotion_gate = false',
        'name = "absent"\nsource = "rtsp://u:p@127.0.0.1:1/x"',
        extra=f"{EAGER}\n[metrics]\nport = {port}",
    )
    client = HostRecorder(broker.port, "edge-tdn/test")
    with DaemonProcess(config) as daemon:
        client.wait_for(lambda: newest(client, "file")["state"] == "ended" and len(client.of("live", "events")) > 4)
        client.wait_for(lambda: _counted(client, port))

        # a camera that has ended can be compared exactly, once its last clip is published
        client.wait_for(lambda: _alike(client, port))
        scrapes: list[Callable[..., float]] = []
        before = newest(client, "live")
        client.wait_for(lambda: _streams(scrapes, port))
        figure = scrapes[-1]
        ended = newest(client, "file")
        assert figure("edge_tdn_camera_frames_total", camera="file") == ended["frames"] == FRAMES
        assert ended["clips"] > 0
        for stage in STAGES:
            count = figure("edge_tdn_latency_seconds_count", camera="file", stage=stage)
            assert 0 <= figure("edge_tdn_latency_seconds_sum", camera="file", stage=stage) < 5 * count
        assert figure("edge_tdn_camera_connects_total", camera="file") == ended["connects"] == 1
        assert figure("edge_tdn_camera_connects_total", camera="absent") == 0
        for camera, state in (("live", "streaming"), ("file", "ended"), ("absent", newest(client, "absent")["state"])):
            assert figure("edge_tdn_camera_state", camera=camera, state=state) == 1
            assert figure("edge_tdn_camera_state", camera=camera, state="disabled") == 0
        assert figure("edge_tdn_model_info", id="motion", precision="fp32", device="CPU", sha256=_sha256(client)) == 1

        # a camera that still runs lies between the status before and the one after
        scraped = figure("edge_tdn_camera_frames_total", camera="live")
        client.wait_for(lambda: newest(client, "live")["frames"] > scraped + 15)  # a later status
        after = newest(client, "live")
        for name, field in (("frames", "frames"), ("clips", "clips"), ("ticks_repeated", "repeated")):
            assert before[field] <= figure(f"edge_tdn_camera_{name}_total", camera="live") <= after[field]
        # this may take a while on a busy machine
        client.wait_for(lambda: scrape(port)("edge_tdn_camera_hop_segments", camera="live") == 1)
        rate = pytest.approx(30, abs=3)
        client.wait_for(lambda: scrape(port)("edge_tdn_camera_frames_per_second", camera="live") == rate)

        broker.stop()
        client.wait_for(lambda: scrape(port)("edge_tdn_broker_connected") == 0)
        assert scrape(port)("edge_tdn_broker_state", state="connected") == 0
        client.wait_for(lambda: scrape(port)("edge_tdn_outbox_events") > 0)
        assert scrape(port)("edge_tdn_outbox_bytes") > 100
        broker.start()
        client.wait_for(lambda: scrape(port)("edge_tdn_broker_connected") == 1)
        assert scrape(port)("edge_tdn_broker_connects_total") == 2
        client.close()
        daemon.process.terminate()
        assert daemon.wait() == 0
        assert "metrics" not in daemon.log()


def _streams(scrapes: list[Callable[..., float]], port: int) -> bool:
    """Scrape once more; return whether `live` streams in it, and is not just opened again, at its end."""
    scrapes.append(scrape(port))
    return scrapes[-1]("edge_tdn_camera_state", camera="live", state="streaming") == 1


def _sha256(client: HostRecorder) -> str:
    return str(client.daemon_statuses()[0]["model"]["sha256"])


def _alike(client: HostRecorder, port: int) -> bool:
    """Return whether the metrics of the file are those of its last status."""
    figure, ended = scrape(port), newest(client, "file")
    names = {"clips": "clips", "gated": "clips_gated", "shed": "segments_shed", "gaps": "gaps"}
    published = [ended[field] for field in names] + len(STAGES) * [ended["clips"] - ended["gated"]]
    with suppress(KeyError):  # no clip of it yet
        scraped = [figure(f"edge_tdn_camera_{name}_total", camera="file") for name in names.values()]
        scraped += [figure("edge_tdn_latency_seconds_count", camera="file", stage=stage) for stage in STAGES]
        return scraped == published
    return False


def _counted(client: HostRecorder, port: int) -> bool:
    """Return whether as many events were received as were delivered, and timed until sent and acknowledged."""
    figure = scrape(port)
    counts = {len(client.of("live", "events")) + len(client.of("file", "events"))}
    counts.add(int(figure("edge_tdn_events_delivered_total")))
    cameras = [camera for camera in ("live", "file") if client.of(camera, "events")]
    with suppress(KeyError):  # none of this camera yet
        for stage in ("publish", "puback"):
            timed = [figure("edge_tdn_latency_seconds_count", camera=camera, stage=stage) for camera in cameras]
            counts.add(int(sum(timed)))
        return len(counts) == 1
    return False


# Without a daemon


def config(tmp_path: Path, port: int, address: str = "127.0.0.1") -> Config:
    path = tmp_path / "site.toml"
    path.write_text(f'[metrics]\nport = {port}\naddress = "{address}"\n[[camera]]\nname = "a"\nsource = "demo:"\n')
    return load(path)


MOMENT = "2026-03-01T12:00:00.000Z"


def model_status(precision: str, rebuilds: int = 0, zones: int = 1) -> ModelStatus:
    return ModelStatus(
        model=ModelRef(id="m", precision=precision, sha256="0" * 64),
        device="CPU",
        zones=zones,
        memory_mb=40.5,
        runtime=RuntimeStatus(state="rebuilding" if rebuilds else "ok", reason="", since=MOMENT, rebuilds=rebuilds),
    )


def daemon_status(*models: ModelStatus) -> DaemonStatus:
    models = models or (model_status("fp32", rebuilds=2),)
    return DaemonStatus(
        host="here",
        version="1",
        boot="b001",
        started_at=MOMENT,
        model=models[0].model,
        device="CPU",
        models=models,
        cameras=[],
        session=1,
        delivery=Delivery(state="connected", reason="", since=MOMENT),
        outbox=OutboxStatus(state="ok", reason="", waiting=0, dropped=0, lost=0),
        config=ConfigStatus(state="in_force", reason="", since=MOMENT),
        runtime=RuntimeStatus(state="rebuilding", reason="runtime failed: no device", since=MOMENT, rebuilds=2),
    )


def zone_status(name: str, clips: int) -> ZoneStatus:
    return ZoneStatus(
        zone=name,
        reason="",
        action=None,
        model=ModelRef(id="m", precision="fp32", sha256="0" * 64),
        width=320,
        height=240,
        segment_s=0.25,
        hop=2,
        latency_ms=31.5,
        clips=clips,
        gated=3,
        shed=4,
        repeated=5,
        thresholds=CameraThresholds(enter=0.7, exit=0.4),
    )


def camera_status(name: str, state: State, *zones: ZoneStatus) -> CameraStatus:
    return CameraStatus(
        camera=name,
        state=state,
        reason="",
        since=MOMENT,
        fps=25.0,
        width=640,
        height=480,
        hop=1,
        latency_ms=31.5,
        clips=10,
        gated=0,
        shed=0,
        gaps=0,
        zones=zones,
    )


def names(port: int) -> set[str]:
    """Return the names of all that a scrape has, also of what has no series."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return {line.split()[2] for line in answer.read().decode().splitlines() if line.startswith("# TYPE edge_tdn")}


def test_zones_and_further_models_have_series_of_their_own(tmp_path: Path) -> None:
    """A host without zones has none of them, and what it has keeps its name and labels."""
    cameras, daemon = [camera_status("one", "streaming")], daemon_status()
    metrics = Metrics(config(tmp_path, port := free_port()), lambda: cameras, lambda: daemon)
    metrics.start()
    try:
        before = names(port)
        assert not [
            name for name in before if "zone" in name or name in ("edge_tdn_model_state", "edge_tdn_model_zones")
        ]
        cameras.append(camera_status("two", "streaming", zone_status("gate", 10), zone_status("bed", 20)))
        daemon = daemon_status(model_status("fp32", zones=2), model_status("int8", rebuilds=3))
        figure = scrape(port)
        for zone, clips in (("gate", 10), ("bed", 20)):
            shown = {
                name: figure(f"edge_tdn_zone_{name}", camera="two", zone=zone)
                for name in ("clips_total", "clips_gated_total", "segments_shed_total", "ticks_repeated_total")
            }
            assert list(shown.values()) == [clips, 3, 4, 5]
            for name, value in (("hop_segments", 2), ("width_pixels", 320), ("height_pixels", 240)):
                assert figure(f"edge_tdn_zone_{name}", camera="two", zone=zone) == value
        assert figure("edge_tdn_camera_clips_total", camera="two") == 10
        assert figure("edge_tdn_runtime_rebuilds_total") == 3
        for precision, state, zones in (("fp32", "ok", 2), ("int8", "rebuilding", 1)):
            model = {"id": "m", "precision": precision}
            assert figure("edge_tdn_model_info", device="CPU", sha256="0" * 64, **model) == 1
            assert figure("edge_tdn_model_state", state=state, **model) == 1
            assert figure("edge_tdn_model_state", state="failed", **model) == 0
            assert figure("edge_tdn_model_zones", **model) == zones
            assert figure("edge_tdn_model_memory_bytes", **model) == 40_500_000
        assert figure("edge_tdn_model_rebuilds_total", id="m", precision="int8") == 3
        assert before < names(port)
    finally:
        metrics.close()


def test_the_series_of_zones_agree_with_their_statuses(
    broker: Mosquitto, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    """A real daemon with two models, whose camera plays a file."""
    make_video(frames=FRAMES, rate=15)
    port = free_port()
    zones = '[[camera.zone]]\nname = "left"\nregion = [0.0, 0.0, 0.5, 1.0]\n'
    zones += '[[camera.zone]]\nname = "all"\nprecision = "int8"\nhop = 2'
    config = write_site(
        tmp_path,
        broker.url,
        f'name = "file"\nsource = "video.mp4"\nmotion_gate = false\n{zones}',
        'name = "live"\nsource = "demo:"\nloop = true\nhop = 8',
        extra=f"{EAGER}\n[metrics]\nport = {port}",
    )
    client = HostRecorder(broker.port, "edge-tdn/test")

    def alike() -> bool:
        ended, figure = newest(client, "file"), scrape(port)
        clips = [one["clips"] for one in ended.get("zones", ())]
        scraped = [figure("edge_tdn_zone_clips_total", camera="file", zone=zone) for zone in ("left", "all")]
        total = figure("edge_tdn_camera_clips_total", camera="file")
        return ended["state"] == "ended" and clips == scraped and sum(clips) == ended["clips"] == total > 0

    with DaemonProcess(config) as daemon:
        client.wait_for(lambda: newest(client, "file")["state"] == "ended")
        client.wait_for(alike)
        figure = scrape(port)
        ended = newest(client, "file")
        for one, width in zip(ended["zones"], (64, 128), strict=True):
            zone = {"camera": "file", "zone": one["zone"]}
            assert figure("edge_tdn_zone_width_pixels", **zone) == one["width"] == width
            assert figure("edge_tdn_zone_hop_segments", **zone) == one["hop"]
            assert figure("edge_tdn_zone_ticks_repeated_total", **zone) == one["repeated"]
        assert all(one["clips"] > 0 for one in ended["zones"])
        for precision, served in (("fp32", 2), ("int8", 1)):
            model = {"id": "motion", "precision": precision}
            assert figure("edge_tdn_model_info", device="CPU", sha256=_sha256(client), **model) == 1
            assert figure("edge_tdn_model_zones", **model) == served
            assert figure("edge_tdn_model_memory_bytes", **model) >= 0
        with pytest.raises(KeyError):
            figure("edge_tdn_zone_clips_total", camera="live", zone="")
        assert daemon.terminate() == 0
    client.close()


def test_a_camera_that_leaves_takes_its_metrics_with_it(tmp_path: Path) -> None:
    cameras = [camera_status("one", "streaming")]
    metrics = Metrics(config(tmp_path, port := free_port()), lambda: cameras, daemon_status)
    metrics.start()
    try:
        metrics.observe("one", "infer", 0.03)
        figure = scrape(port)
        assert figure("edge_tdn_camera_state", camera="one", state="streaming") == 1
        assert figure("edge_tdn_runtime_state", state="rebuilding") == 1
        assert figure("edge_tdn_runtime_rebuilds_total") == 2
        bucket = {"camera": "one", "stage": "infer"}
        counts = [figure("edge_tdn_latency_seconds_bucket", **bucket, le=le) for le in ("0.02", "0.05", "+Inf")]
        assert counts == [0, 1, 1]
        cameras[:] = [camera_status("two", "frozen")]
        figure = scrape(port)
        assert figure("edge_tdn_camera_state", camera="two", state="frozen") == 1
        with pytest.raises(KeyError):
            figure("edge_tdn_camera_state", camera="one", state="streaming")
        with pytest.raises(KeyError):
            scrape(port)("edge_tdn_latency_seconds_count", **bucket)
    finally:
        metrics.close()


def test_a_client_that_does_not_ask_and_a_scrape_that_fails_do_not_end_the_endpoint(
    tmp_path: Path,
) -> None:
    broken = True

    def cameras() -> list[CameraStatus]:
        if broken:
            raise RuntimeError("no such luck")
        return []

    timing = MetricsTiming(client_timeout_s=1.0)  # it is spent on the silent clients alone
    metrics = Metrics(config(tmp_path, port := free_port()), cameras, daemon_status, timing)
    metrics.start()
    try:
        with socket.create_connection(("127.0.0.1", port)), pytest.raises((OSError, http.client.HTTPException)):
            scrape(port)
        broken = False
        with socket.create_connection(("127.0.0.1", port)) as half:
            half.sendall(b"GET /metrics HT")
            assert scrape(port)("edge_tdn_broker_connected") == 1
    finally:
        metrics.close()
    with pytest.raises(OSError, match="refused"):
        scrape(port)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("192.0.2.7", r"site\.toml:3: metrics\.address = '192\.0\.2\.7': Cannot assign requested address; allowed: an"),
        ("no such host", r"site\.toml:3: metrics\.address = 'no such host': .*; allowed: an address of this host"),
    ],
)
def test_an_address_that_is_not_available_is_exit_status_78(address: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        Metrics(config(tmp_path, free_port(), address), list, daemon_status)
    assert raised.value.exit_status == 78


def test_a_port_in_use_is_opened_once_it_is_free(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line reports the failure, however often it is repeated, and one the success."""
    caplog.set_level("INFO")
    with socket.create_server(("127.0.0.1", port := free_port())):
        metrics = Metrics(config(tmp_path, port), list, daemon_status, MetricsTiming(retry_s=0.05))
        assert metrics.fault.startswith(f"port {port} is in use by another program")
        metrics.start()
    try:
        eventually(lambda: not metrics.fault)
        assert scrape(port)("edge_tdn_broker_connected") == 1
    finally:
        metrics.close()
    lines = [one.getMessage() for one in caplog.records if one.name == "edge_tdn.service.metrics"]
    assert lines == [
        f"metrics: {in_use(config(tmp_path, port))}; tried again every 0.05 s",
        f"metrics: served at http://127.0.0.1:{port}/metrics, the port is free now",
    ]


def test_an_endpoint_whose_port_stays_in_use_can_be_closed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        metrics = Metrics(config(tmp_path, taken.getsockname()[1]), list, daemon_status)
        metrics.start()
        metrics.close()
        assert metrics.fault


def test_a_port_is_tried_again_whatever_the_last_try_has_met(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a host's address has gone, or no file descriptor is free. The fault is the newest one."""
    taken = socket.create_server(("127.0.0.1", free_port()))
    metrics = Metrics(config(tmp_path, taken.getsockname()[1]), list, daemon_status, MetricsTiming(retry_s=0.05))
    first = metrics.fault
    with monkeypatch.context() as patch:
        patch.setattr("edge_tdn.hub.port.socket.socket", no_descriptor)
        metrics.start()
        eventually(lambda: "Too many open files" in metrics.fault)
    eventually(lambda: metrics.fault == first)
    taken.close()
    eventually(lambda: not metrics.fault)
    metrics.close()


def no_descriptor(*_: object) -> socket.socket:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_a_daemon_reports_a_metrics_port_in_use_until_it_is_free(
    broker: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = socket.create_server(("127.0.0.1", port := free_port()))
    path = write_site(
        tmp_path, broker.url, 'name = "a"\nsource = "demo:"\nloop = true', extra=f"[metrics]\nport = {port}"
    )
    client = HostRecorder(broker.port, "edge-tdn/test")

    def exit_status() -> int:
        capsys.readouterr()
        return main(["status", "--config", str(path)])

    with DaemonProcess(path) as daemon:
        client.wait_for(lambda: newest(client, "a")["state"] == "streaming" and client.daemon_statuses())
        assert f"port {port} is in use" in client.daemon_statuses()[-1]["metrics_fault"]
        assert exit_status() == 1
        assert f"metrics: port {port} is in use" in " ".join(capsys.readouterr().out.split())
        taken.close()
        client.wait_for(lambda: not client.daemon_statuses()[-1]["metrics_fault"])
        assert scrape(port)("edge_tdn_broker_connected") == 1
        eventually(lambda: exit_status() == 0)
        assert daemon.terminate() == 0
    client.close()


def test_the_series_of_the_process_do_not_need_the_files_of_the_whole_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ProcSubset=pid` of the unit hides /proc/stat. They are those of prometheus_client, which needs that file."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    opened = open

    def hidden(file: Any, *arguments: Any, **options: Any) -> Any:
        if str(file) == "/proc/stat":
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), file)
        return opened(file, *arguments, **options)

    monkeypatch.setattr("builtins.open", hidden)
    metrics = Metrics(config(tmp_path, port := free_port()), list, daemon_status)
    metrics.start()
    try:
        figure = scrape(port)
        expected = {sample.name: sample.value for family in registry.collect() for sample in family.samples}
        assert len(expected) == 6
        for name, value in expected.items():
            within = 2 if name.endswith(("seconds", "seconds_total", "fds")) else value / 10
            assert figure(name) == pytest.approx(value, abs=within), name
        assert scrape(port)("process_start_time_seconds") == figure("process_start_time_seconds")
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            assert answer.read().count(b"# TYPE process_") == len(expected)
    finally:
        metrics.close()


def test_an_ipv6_address_is_served(tmp_path: Path) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    site = config(tmp_path, free_port(), "::1")
    try:
        metrics = Metrics(site, list, daemon_status)
    except ConfigError:
        pytest.skip("no ::1 here")
    metrics.start()
    try:
        with urlopen(site.metrics.url, timeout=30) as answer:
            assert b"edge_tdn_broker_connected 1.0" in answer.read()
    finally:
        metrics.close()
