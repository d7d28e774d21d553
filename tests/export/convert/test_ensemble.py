"""Ensembles: several networks in one folder, each with its own segments of one stream, their logits added."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from edge_tdn_export.__main__ import main
from edge_tdn_export.convert.convert import open_any, whole
from edge_tdn_export.convert.ensemble import ensemble
from edge_tdn_export.network.reference import open_networks
from numpy.typing import NDArray

from edge_tdn.actions.smoothing import softmax
from edge_tdn.capture.video_file import read_file
from edge_tdn.errors import ModelError
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.manifest import Model, open_model
from edge_tdn.media.colour import Packed
from edge_tdn.messages import NS_PER_S, Frame
from edge_tdn.segments.window import Window
from tests.conftest import HAS_BF16, needs_bf16
from tests.support.broker import Mosquitto
from tests.support.daemon import DaemonProcess
from tests.support.ensembles import SPAN, STRIDE, Pair, changed, of_input, spec_of
from tests.support.exports import LABELS, SPEC, relative_error
from tests.support.model_folders import reseal
from tests.support.mqtt import HostRecorder, actions_of
from tests.support.published_sampling import published_frames
from tests.support.site import write_site

SIDE = SPEC.height  # pixels
RATE = SPEC.frame_rate  # frames per second


def published_clip(frames: Sequence[NDArray[np.uint8]], first: int, segments: int) -> NDArray[np.uint8]:
    """Return the clip of T `segments` that the published sampling picks from frame `first` on: [T, 5, H, W, 3]."""
    return np.stack([[frames[first + n] for n in own] for own in published_frames(SPAN + 4, segments)])


def added(pair: Pair, frames: Sequence[NDArray[np.uint8]], first: int) -> NDArray[np.float32]:
    """Add PyTorch's logits of both networks, each on the frames that the published sampling picks for it."""
    eight, sixteen = (
        whole(network, published_clip(frames, first, segments), spec_of(segments))
        for segments, network in pair.networks.items()
    )
    assert np.abs(eight).max() > 0.1 * np.abs(eight + sixteen).max()  # a network that is left out shows
    assert np.abs(sixteen).max() > 0.1 * np.abs(eight + sixteen).max()
    return eight + sixteen


def pictures(count: int) -> NDArray[np.uint8]:
    """Return a stream of random frames, uint8 [count, SIDE, SIDE, 3]."""
    return np.random.default_rng(7).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


def stream(frames: Sequence[NDArray[np.uint8]]) -> Iterator[Frame]:
    for n, picture in enumerate(frames):
        yield Frame(Packed(picture), round(n / RATE * NS_PER_S), n, n, n, 1)


@pytest.mark.parametrize("order", [(8, 16), (16, 8)])
@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-4), pytest.param("bf16", 5e-2, marks=needs_bf16)])
def test_stream_gives_the_sum_of_both_networks_on_their_published_frames(
    pair: Pair, tmp_path: Path, order: tuple[int, int], precision: str, limit: float
) -> None:
    """Real window and rings; the window slides further than once around every ring."""
    ensemble([pair.t8 if segments == 8 else pair.t16 for segments in order], tmp_path / "both", id="both")
    model = open_model(tmp_path / "both")
    runtime = open_runtime(model, precision)
    ring, window = runtime.ring(), Window(model.manifest.input, max_gap_s=0.5)
    hops, hop = 10, 2 * STRIDE  # a hop is a segment of the 8, or two of the 16
    frames = pictures(SPAN + 4 + hops * hop)
    firsts = []  # the first frame of each clip
    for frame in stream(frames):
        for segment in window.push(frame):
            runtime.encode([segment.frames], [ring])
            assert ring.full == (segment.index >= 7)
            if ring.full:
                firsts.append((segment.index - 7) * hop)
                assert relative_error(runtime.classify([ring])[0], added(pair, frames, firsts[-1])) <= limit
    assert firsts == [n * hop for n in range(hops + 1)]
    runtime.close()


def test_open_networks_adds_both_networks(pair: Pair, both: Model) -> None:
    """Parity's reference picks each network's frames from the ensemble's clip, in order."""
    frames = pictures(SPAN + 4)
    window = Window(both.manifest.input, max_gap_s=0.5)
    clip = np.stack([segment.frames for frame in stream(frames) for segment in window.push(frame)])
    assert clip.shape == (8, 15, SIDE, SIDE, 3)
    assert relative_error(open_networks(both)(clip), added(pair, frames, 0)) <= 1e-6


def test_manifest_describes_both_networks_and_their_files(pair: Pair, both: Model) -> None:
    manifest = both.manifest
    assert manifest.id == "both"
    assert both.labels == LABELS
    assert manifest.background == ("one",)
    assert manifest.input == spec_of(8).model_copy(update={"per_segment": (1, 2)})
    assert [manifest.input.of(member) for member in (0, 1)] == [spec_of(8), spec_of(16)]
    assert [member.network["segments"] for member in manifest.members] == [8, 16]
    assert [member.source["file"] for member in manifest.members] == ["8.pth", "16.pth"]
    assert manifest.parity == {}
    found = {str(path.relative_to(both.folder)) for path in both.folder.rglob("*") if path.is_file()}
    graphs = {f"fp32/{half}.{kind}" for half in ("encoder", "head") for kind in ("xml", "bin")}
    own = {f"{name}/{file}" for name in ("t8", "t16") for file in {"weights.safetensors", *graphs}}
    assert found == {"manifest.json", "labels.txt", "golden.npz", *own}
    assert set(manifest.files) == found - {"manifest.json"}
    for file in {"weights.safetensors", *graphs}:
        assert both.read(f"t16/{file}") == (pair.t16 / file).read_bytes()


def test_every_precision_ran_on_the_ensembles_own_golden_clip(pair: Pair, both: Model) -> None:
    with np.load(both.folder / "golden.npz") as golden:
        clip, logits = golden["clip"], golden["logits"]
    eight = clip[:, :5]  # [8, 5, H, W, 3]
    sixteen = clip[:, 5:].reshape(16, 5, SIDE, SIDE, 3)
    expected = whole(pair.networks[8], eight, spec_of(8)) + whole(pair.networks[16], sixteen, spec_of(16))
    assert relative_error(logits, expected) <= 1e-6
    builds = both.manifest.precisions
    assert list(builds) == ["fp32", "bf16"]
    assert 0 < builds["fp32"].golden_error <= 1e-4
    if HAS_BF16:
        assert builds["fp32"].golden_error < builds["bf16"].golden_error <= 2e-2
    else:
        assert builds["bf16"].golden_error is None


def test_ensemble_has_the_precisions_that_every_folder_has(pair: Pair, tmp_path: Path) -> None:
    one = changed(pair.t8, tmp_path / "one", lambda m: {"precisions": {"fp32": m.precisions["fp32"]}})
    assert list(ensemble([pair.t16, one], tmp_path / "out", id="x").precisions) == ["fp32"]


def test_networks_with_the_same_t_get_separate_folders(pair: Pair, tmp_path: Path) -> None:
    manifest = ensemble([pair.t8] * 3, tmp_path / "out", id="thrice")
    assert [member.weights.split("/")[0] for member in manifest.members] == ["t8", "t8-2", "t8-3"]
    assert manifest.input.per_segment == (1, 1, 1)
    runtime = open_any(open_model(tmp_path / "out"), "fp32")
    frames = pictures(SPAN + 4)
    ring, window = runtime.ring(), Window(manifest.input, max_gap_s=0.5)
    for frame in stream(frames):
        for segment in window.push(frame):
            runtime.encode([segment.frames], [ring])
    alone = whole(pair.networks[8], published_clip(frames, 0, 8), spec_of(8))
    assert relative_error(runtime.classify([ring])[0], 3 * alone) <= 1e-4
    runtime.close()


def test_chosen_stride_sets_that_of_the_other_networks(pair: Pair, tmp_path: Path) -> None:
    other = changed(pair.t16, tmp_path / "other", of_input(segment_stride=5))
    manifest = ensemble([pair.t8, other], tmp_path / "out", id="x", segment_stride=10)
    assert [manifest.input.of(member).segment_stride for member in (0, 1)] == [10, 5]


def test_ensemble_with_a_missing_or_damaged_network_never_serves(pair: Pair, both: Model, tmp_path: Path) -> None:
    """The hashes match the wrong content, and the golden clip detects it."""
    with np.load(both.folder / "golden.npz") as golden:
        clip = golden["clip"]
    half = shutil.copytree(both.folder, tmp_path / "half")
    np.savez(half / "golden.npz", clip=clip, logits=whole(pair.networks[8], clip[:, :5], spec_of(8)))
    reseal(half)
    with pytest.raises(ModelError, match="self-test failed"):
        open_runtime(open_model(half))
    odd = shutil.copytree(both.folder, tmp_path / "odd")
    (odd / "t16/fp32/head.xml").write_text("<net/>")
    reseal(odd)
    with pytest.raises(ModelError, match=r"t16/fp32/head\.xml: OpenVINO cannot compile it"):
        open_runtime(open_model(odd))


def test_ensemble_command_writes_a_model_folder(pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["ensemble", str(pair.t8), str(pair.t16), f"{tmp_path}/both"]
    assert main([*arguments, "--segment-stride", "8"]) == 0
    printed = capsys.readouterr().out
    assert "fp32, " in printed
    assert "bf16, " in printed
    manifest = open_model(tmp_path / "both").manifest
    assert manifest.id == "both"
    assert manifest.input.segment_stride == 8
    assert main(arguments) == 78
    assert "exists already" in capsys.readouterr().err
    assert main(["ensemble", str(pair.t8), f"{tmp_path}/one"]) == 78
    assert "two model folders or more" in capsys.readouterr().err
    assert main([*arguments[:3], f"{tmp_path}/named", "--id", "named-so"]) == 0
    assert open_model(tmp_path / "named").manifest.id == "named-so"


def test_check_command_prints_both_networks(
    both: Model, tmp_path: Path, edge_tdn: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    path = tmp_path / "site.toml"
    path.write_text(f'[runtime]\nmodel = "{both.folder}"\n[[camera]]\nname = "a"\nsource = "rtsp://camera/a"\n')
    done = edge_tdn("check", "--config", path)
    assert done.returncode == 0, done.stderr
    plan = " ".join(done.stdout.split())
    assert "8 + 16 segments of 5 frames at 12 fps" in plan
    assert "fp32 on CPU, self-test passed" in plan
    assert "a clip every 0.50 s" in plan


def test_daemon_publishes_scores_of_both_networks_on_one_stream(
    pair: Pair, both: Model, broker: Mosquitto, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    """With a video and a real broker, every published score is the softmax of the PyTorch networks' sum."""
    hops = 6
    video = make_video(frames=SPAN + 5 + hops * 2 * STRIDE, rate=int(RATE), height=SIDE, width=SIDE)
    decoded = [frame.picture for frame in read_file(video)]
    expected = [softmax(added(pair, decoded, n * 2 * STRIDE)) for n in range(hops + 1)]
    extra = (
        f'[runtime]\nmodel = "{both.folder}"\n'
        "[decide]\nsmoothing_s = 0.0\nenter_threshold = 0.01\nexit_threshold = 0\nmin_length_s = 0"
    )
    raw = HostRecorder(broker.port, "edge-tdn/test")
    with DaemonProcess(write_site(tmp_path, broker.url, f'name = "film"\nsource = "{video}"', extra=extra)) as daemon:
        assert daemon.wait() == 0
        daemon.log()
    raw.synchronize()
    raw.close()
    scores = raw.of("film", "scores")
    assert len(scores) + raw.of("film", "status")[-1]["shed"] == hops + 1
    assert len(scores) >= 3
    rest = iter(expected)
    for message in scores:
        got = np.array([message["scores"][label] for label in LABELS])
        assert any(np.abs(got - logits).max() <= 2e-3 for logits in rest), json.dumps(message)
    events = raw.of("film", "events")
    assert actions_of(events)
    assert {event["model"]["id"] for event in events} == {"both"}
    assert {event["model"]["sha256"] for event in events} == {both.sha256}
    assert {event["window"]["frames"] for event in events} == {8 * 15}
    assert {event["window"]["dropped"] for event in events} == {0}
