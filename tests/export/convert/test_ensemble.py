"""The ensemble: several networks in one folder, each on its own segments of one stream, their logits added."""

import json
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from edge_tdn_export.__main__ import main
from edge_tdn_export.convert.convert import Recipe, convert, open_any, whole
from edge_tdn_export.convert.ensemble import ensemble, steps
from edge_tdn_export.network.reference import open_networks
from edge_tdn_export.network.tdn import TDN, TDNConfig
from numpy.typing import NDArray

from edge_tdn.actions.decider import softmax
from edge_tdn.capture.source import read_file
from edge_tdn.errors import ModelError
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.manifest import Build, InputSpec, Manifest, Model, dump, open_model, records, seal
from edge_tdn.media.colour import Packed
from edge_tdn.messages import NS_PER_S, Frame
from edge_tdn.segments.window import Window
from tests.conftest import HAS_BF16, needs_bf16
from tests.segments.test_window import published
from tests.support.broker import Mosquitto
from tests.support.daemon import DaemonProcess
from tests.support.mqtt import HostRecorder, actions_of
from tests.support.site import write_site

SIDE = 64  # pixels
RATE = 12.0  # frames a second
STRIDE = 3  # of the 16 segments; odd, so that the published sampling rounds
SPAN = 16 * STRIDE  # frames of a clip, but for the 4 behind its last segment's first
LABELS = ("one", "two", "three")
Clip = NDArray[np.uint8]


def spec(segments: int) -> InputSpec:
    return InputSpec(segments=segments, height=SIDE, width=SIDE, resize="stretch", frame_rate=RATE,
                     segment_stride=SPAN // segments)  # fmt: skip


def make_network(segments: int, seed: int) -> TDN:
    """Tiny, and with weights that make every part of it matter."""
    torch.manual_seed(seed)
    model = TDN(TDNConfig(arch="resnet18", segments=segments, classes=3, width=0.125, conv_bias=False))
    torch.nn.init.normal_(model.linear.weight)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
            module.running_mean = torch.randn_like(module.bias) * 0.1  # type: ignore[assignment]
    return model.eval()


@dataclass(frozen=True)
class Pair:
    """The two networks, and a folder of each."""

    networks: dict[int, TDN]  # T -> network
    t8: Path
    t16: Path


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    room = tmp_path_factory.mktemp("pair")
    (room / "labels.txt").write_text("\n".join(LABELS) + "\n")
    networks = {segments: make_network(segments, seed=segments) for segments in (8, 16)}
    for segments, model in networks.items():
        recipe = Recipe(f"t{segments}", room / "labels.txt", spec(segments), ("one",), (("file", f"{segments}.pth"),))
        convert(model, recipe, room / f"t{segments}")
    return Pair(networks, room / "t8", room / "t16")


@pytest.fixture(scope="module")
def both(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The ensemble of 8 and 16 segments."""
    out = tmp_path_factory.mktemp("ensemble") / "both"
    ensemble([pair.t8, pair.t16], out, id="both")
    return open_model(out)


def segments_as_published(frames: Sequence[NDArray[np.uint8]], first: int, segments: int) -> Clip:
    """What the published sampling takes for T `segments` of a video that begins at `first`: [T, 5, H, W, 3]."""
    return np.stack([[frames[first + n] for n in own] for own in published(SPAN + 4, segments)])


def added(pair: Pair, frames: Sequence[NDArray[np.uint8]], first: int) -> NDArray[np.float32]:
    """Both PyTorch networks, each on the frames that the published sampling takes for it."""
    eight, sixteen = (
        whole(network, segments_as_published(frames, first, segments), spec(segments))
        for segments, network in pair.networks.items()
    )
    assert np.abs(eight).max() > 0.1 * np.abs(eight + sixteen).max()  # or a network that is left out is not missed
    assert np.abs(sixteen).max() > 0.1 * np.abs(eight + sixteen).max()
    return eight + sixteen


def pictures(count: int) -> NDArray[np.uint8]:
    """A stream in which no two frames are alike: [count, SIDE, SIDE, 3]."""
    return np.random.default_rng(7).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


def stream(frames: Sequence[NDArray[np.uint8]]) -> Iterator[Frame]:
    for n, picture in enumerate(frames):
        yield Frame(Packed(picture), round(n / RATE * NS_PER_S), n, n, n, 1)


def relative(got: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float(np.abs(got - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("order", [(8, 16), (16, 8)])
@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-4), pytest.param("bf16", 5e-2, marks=needs_bf16)])
def test_a_stream_gives_the_sum_of_both_networks_on_their_published_frames(
    pair: Pair, tmp_path: Path, order: tuple[int, int], precision: str, limit: float
) -> None:
    """Through the real window and ring, over a window that slides once around every ring and further."""
    ensemble([pair.t8 if segments == 8 else pair.t16 for segments in order], tmp_path / "both", id="both")
    model = open_model(tmp_path / "both")
    runtime = open_runtime(model, precision)
    ring, window = runtime.ring(), Window(model.manifest.input, max_gap_s=0.5)
    hops, hop = 10, 2 * STRIDE  # a hop is a segment of the 8, or two of the 16
    frames = pictures(SPAN + 4 + hops * hop)
    firsts = []  # of the clips, the frame that each begins at
    for frame in stream(frames):
        for segment in window.push(frame):
            runtime.encode([segment.frames], [ring])
            assert ring.full == (segment.index >= 7)
            if ring.full:
                firsts.append((segment.index - 7) * hop)
                assert relative(runtime.classify([ring])[0], added(pair, frames, firsts[-1])) <= limit
    assert firsts == [n * hop for n in range(hops + 1)]
    runtime.close()


def test_one_clip_through_pytorch_is_the_sum_too(pair: Pair, both: Model) -> None:
    """What parity compares with: each network picks its own frames of the ensemble's clip, in order."""
    frames = pictures(SPAN + 4)
    window = Window(both.manifest.input, max_gap_s=0.5)
    clip = np.stack([segment.frames for frame in stream(frames) for segment in window.push(frame)])
    assert clip.shape == (8, 15, SIDE, SIDE, 3)
    assert relative(open_networks(both)(clip), added(pair, frames, 0)) <= 1e-6


def test_the_folder_says_everything_about_itself(pair: Pair, both: Model) -> None:
    manifest = both.manifest
    assert manifest.id == "both"
    assert both.labels == LABELS
    assert manifest.background == ("one",)
    assert manifest.input == spec(8).model_copy(update={"per_segment": (1, 2)})
    assert [manifest.input.of(member) for member in (0, 1)] == [spec(8), spec(16)]
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


def test_the_golden_clip_is_the_ensembles_own_and_every_precision_was_run_on_it(pair: Pair, both: Model) -> None:
    with np.load(both.folder / "golden.npz") as golden:
        clip, logits = golden["clip"], golden["logits"]
    eight = clip[:, :5]  # [8, 5, H, W, 3]
    sixteen = clip[:, 5:].reshape(16, 5, SIDE, SIDE, 3)
    expected = whole(pair.networks[8], eight, spec(8)) + whole(pair.networks[16], sixteen, spec(16))
    assert relative(logits, expected) <= 1e-6
    builds = both.manifest.precisions
    assert list(builds) == ["fp32", "bf16"]
    assert 0 < builds["fp32"].golden_error <= 1e-4
    if HAS_BF16:
        assert builds["fp32"].golden_error < builds["bf16"].golden_error <= 2e-2
    else:
        assert builds["bf16"].golden_error is None


def test_only_precisions_that_every_folder_has_are_taken(pair: Pair, tmp_path: Path) -> None:
    one = changed(pair.t8, tmp_path / "one", lambda m: {"precisions": {"fp32": m.precisions["fp32"]}})
    assert list(ensemble([pair.t16, one], tmp_path / "out", id="x").precisions) == ["fp32"]


def test_networks_of_the_same_t_have_folders_of_their_own(pair: Pair, tmp_path: Path) -> None:
    manifest = ensemble([pair.t8] * 3, tmp_path / "out", id="thrice")
    assert [member.weights.split("/")[0] for member in manifest.members] == ["t8", "t8-2", "t8-3"]
    assert manifest.input.per_segment == (1, 1, 1)
    runtime = open_any(open_model(tmp_path / "out"), "fp32")
    frames = pictures(SPAN + 4)
    ring, window = runtime.ring(), Window(manifest.input, max_gap_s=0.5)
    for frame in stream(frames):
        for segment in window.push(frame):
            runtime.encode([segment.frames], [ring])
    alone = whole(pair.networks[8], segments_as_published(frames, 0, 8), spec(8))
    assert relative(runtime.classify([ring])[0], 3 * alone) <= 1e-4
    runtime.close()


def test_a_stride_can_be_chosen_and_the_others_follow(pair: Pair, tmp_path: Path) -> None:
    other = changed(pair.t16, tmp_path / "other", stride(5))
    manifest = ensemble([pair.t8, other], tmp_path / "out", id="x", segment_stride=10)
    assert [manifest.input.of(member).segment_stride for member in (0, 1)] == [10, 5]


# What folders of an ensemble may not differ in, and more that it cannot be made of.

Change = Callable[[Manifest], dict[str, object]]


def changed(folder: Path, copy: Path, change: Change, labels: Sequence[str] | None = None) -> Path:
    """A copy of a model folder with another manifest, which is sealed again: what its maker could have written."""
    shutil.copytree(folder, copy)
    manifest = open_model(copy).manifest
    update = change(manifest)
    if labels is not None:
        (copy / "labels.txt").write_text("\n".join(labels) + "\n")
        files = records(copy, list(manifest.files))
        update |= {"files": files, "labels_sha256": files["labels.txt"].sha256, "classes": len(labels)}
    (copy / "manifest.json").write_bytes(dump(seal(manifest.model_copy(update=update))))
    return copy


def resealed(folder: Path) -> None:
    """Hashes of what is there now, damaged or not."""
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes(), strict=False)
    files = records(folder, list(manifest.files))
    (folder / "manifest.json").write_bytes(dump(seal(manifest.model_copy(update={"files": files}))))


def of_input(**values: object) -> Change:
    return lambda manifest: {"input": manifest.input.model_copy(update=values)}


def stride(frames: int) -> Change:
    return of_input(segment_stride=frames)


def renamed(manifest: Manifest) -> dict[str, object]:
    build: Build = manifest.precisions["fp32"]
    return {"precisions": {"onnx": build}}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(of_input(height=96), ["input.height is 96", "has 64"], id="height"),
        pytest.param(of_input(width=96), ["input.width is 96", "has 64"], id="width"),
        pytest.param(
            of_input(resize="short_side_centre_crop", short_side=73),
            ["input.resize is 'short_side_centre_crop'", "has 'stretch'"],
            id="resize",
        ),
        pytest.param(of_input(frame_rate=25.0), ["input.frame_rate is 25.0", "has 12.0"], id="frame rate"),
        pytest.param(of_input(mean=(0.5, 0.5, 0.5)), ["input.mean is (0.5, 0.5, 0.5)", "has (0.485"], id="mean"),
        pytest.param(of_input(std=(0.5, 0.5, 0.5)), ["input.std is (0.5, 0.5, 0.5)", "has (0.229"], id="std"),
        pytest.param(lambda _: {"background": ()}, ["background is []", "has ['one']"], id="background"),
        pytest.param(of_input(segments=12, segment_stride=4), ["is 12", "multiples of 8"], id="T"),
        pytest.param(of_input(segments=64, segment_stride=1), ["input.segment_stride is 1", "64 frames"], id="64"),
        pytest.param(
            stride(5), ["is 5: 16 segments span 80 frames", "8 * 6 = 48", "--segment-stride N, a multiple of 2"],
            id="stride",
        ),
        pytest.param(renamed, ["no precision that every folder has", "fp32, bf16", "onnx"], id="precisions"),
    ],
)  # fmt: skip
def test_folders_that_do_not_fit_each_other_are_refused(
    pair: Pair, tmp_path: Path, change: Change, says: list[str]
) -> None:
    other = changed(pair.t16, tmp_path / "other", change)
    refuses([pair.t8, other], tmp_path, str(other), *says)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (("one", "three", "two"), ["labels.txt:2: 'three'", "has 'two'", "same order"]),
        (("one", "two", "three", "four"), ["labels.txt: 4 labels", "has 3"]),
    ],
)
def test_other_labels_are_refused(pair: Pair, tmp_path: Path, labels: tuple[str, ...], says: list[str]) -> None:
    other = changed(pair.t16, tmp_path / "other", lambda _: {}, labels)
    refuses([pair.t8, other], tmp_path, str(other), *says)


def test_a_network_of_too_many_segments_is_refused(pair: Pair, tmp_path: Path) -> None:
    few = changed(pair.t8, tmp_path / "few", of_input(segments=2, segment_stride=32))
    many = changed(pair.t16, tmp_path / "many", of_input(segments=64, segment_stride=1))
    refuses([few, many], tmp_path, "per_segment.1", "less than or equal to 8", "got 32")


def test_fewer_than_two_folders_are_refused(pair: Pair, tmp_path: Path) -> None:
    refuses([], tmp_path, "two model folders or more, got 0")
    refuses([pair.t8], tmp_path, "two model folders or more, got 1", str(pair.t8))


def test_an_ensemble_of_ensembles_is_refused(pair: Pair, both: Model, tmp_path: Path) -> None:
    refuses([pair.t8, both.folder], tmp_path, f"{both.folder / 'manifest.json'}: members: 2 networks, allowed is 1")


def test_a_folder_that_is_damaged_or_missing_is_refused(pair: Pair, tmp_path: Path) -> None:
    damaged = shutil.copytree(pair.t16, tmp_path / "damaged")
    content = bytearray((damaged / "fp32/head.bin").read_bytes())
    content[100] ^= 1
    (damaged / "fp32/head.bin").write_bytes(content)
    refuses([pair.t8, damaged], tmp_path, f"{damaged / 'fp32/head.bin'}: content changed")
    refuses([pair.t8, tmp_path / "none"], tmp_path, f"{tmp_path / 'none'}: no such model folder")


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        (7, ["--segment-stride 7", "16 segments would need one every 7/2 frames", "multiples of 2"]),
        (-2, ["segment_stride", "greater than or equal to 1", "got -2"]),
        (2000, ["segment_stride", "less than or equal to 1000", "got 2000"]),
    ],
)
def test_a_stride_that_cannot_be_is_refused(pair: Pair, tmp_path: Path, frames: int, says: list[str]) -> None:
    refuses([pair.t8, pair.t16], tmp_path, *says, segment_stride=frames)


def test_an_id_that_fits_no_topic_is_refused(pair: Pair, tmp_path: Path) -> None:
    refuses([pair.t8, pair.t16], tmp_path, "id 'a/b'", id="a/b")


def refuses(folders: list[Path], tmp_path: Path, *says: str, id: str = "x", segment_stride: int = 0) -> None:  # noqa: A002
    """The message says all of this, and nothing is written."""
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ModelError) as error:
        ensemble(folders, tmp_path / "out", id=id, segment_stride=segment_stride)
    for part in says:
        assert part in str(error.value)
    assert sorted(tmp_path.iterdir()) == before


# Whole or not at all.


def test_an_existing_folder_is_left_alone(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    refuses([pair.t8, pair.t16], tmp_path, f"{tmp_path / 'out'}: exists already")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("at", [0, 1, 2, 3, 4, 5])
def test_an_interruption_at_any_step_leaves_nothing_behind(pair: Pair, tmp_path: Path, at: int) -> None:
    heard: list[str] = []

    def interrupt(what: str) -> None:
        heard.append(what)
        if len(heard) > at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensemble([pair.t8, pair.t16], tmp_path / "out", id="x", step=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_as_many_steps_are_reported_as_were_promised(pair: Pair, tmp_path: Path) -> None:
    heard: list[str] = []
    ensemble([pair.t8, pair.t16], tmp_path / "out", id="x", step=heard.append)
    assert len(heard) == steps([pair.t8, pair.t16]) == 6


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Writes beyond this many bytes of a file fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_leaves_nothing_behind(pair: Pair, tmp_path: Path) -> None:
    with largest_file(100_000):
        refuses([pair.t8, pair.t16], tmp_path, f"{tmp_path / 'out'}: ", "nothing written; is the disk full?")


# In service.


def test_one_network_left_out_or_damaged_never_serves(pair: Pair, both: Model, tmp_path: Path) -> None:
    """Folders whose hashes are right, and whose content is not: the golden clip finds out."""
    with np.load(both.folder / "golden.npz") as golden:
        clip = golden["clip"]
    half = shutil.copytree(both.folder, tmp_path / "half")
    np.savez(half / "golden.npz", clip=clip, logits=whole(pair.networks[8], clip[:, :5], spec(8)))
    resealed(half)
    with pytest.raises(ModelError, match="self-test failed"):
        open_runtime(open_model(half))
    odd = shutil.copytree(both.folder, tmp_path / "odd")
    (odd / "t16/fp32/head.xml").write_text("<net/>")
    resealed(odd)
    with pytest.raises(ModelError, match=r"t16/fp32/head\.xml: OpenVINO cannot compile it"):
        open_runtime(open_model(odd))


def test_the_command_line_makes_one(pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_check_prints_its_plan(
    both: Model, tmp_path: Path, edge_tdn: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    path = tmp_path / "site.toml"
    path.write_text(f'[runtime]\nmodel = "{both.folder}"\n[[camera]]\nname = "a"\nsource = "rtsp://camera/a"\n')
    done = edge_tdn("check", "--config", path)
    assert done.returncode == 0, done.stderr
    plan = " ".join(done.stdout.split())
    assert "8 + 16 segments of 5 frames at 12 fps" in plan
    assert "fp32 on CPU, self-test passed" in plan
    assert "a decision every 0.50 s" in plan


def test_it_serves_from_one_stream_what_both_networks_say_of_it(
    pair: Pair, both: Model, broker: Mosquitto, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    """`edge-tdn run` on a video, real broker: every published score is the softmax of the PyTorch networks' sum."""
    hops = 6
    video = make_video(frames=SPAN + 5 + hops * 2 * STRIDE, rate=int(RATE), height=SIDE, width=SIDE)
    decoded = [frame.picture for frame in read_file(video)]
    expected = [softmax(added(pair, decoded, n * 2 * STRIDE)) for n in range(hops + 1)]
    extra = (
        f'[runtime]\nmodel = "{both.folder}"\n'
        "[decide]\nsmoothing_clips = 1\nenter_threshold = 0.01\nexit_threshold = 0\nmin_length_s = 0"
    )
    raw = HostRecorder(broker.port, "edge-tdn/test")
    with DaemonProcess(write_site(tmp_path, broker.url, f'name = "film"\nsource = "{video}"', extra=extra)) as daemon:
        assert daemon.wait(60) == 0
        daemon.log()
    raw.synchronize()
    raw.close()
    scores = raw.of("film", "scores")
    assert len(scores) + raw.of("film", "status")[-1]["shed"] == hops + 1
    assert len(scores) >= 3
    rest = iter(expected)
    for message in scores:
        got = np.array([message["scores"][label] for label in LABELS])
        assert any(np.abs(got - wanted).max() <= 2e-3 for wanted in rest), json.dumps(message)
    events = raw.of("film", "events")
    assert actions_of(events)
    assert {event["model"]["id"] for event in events} == {"both"}
    assert {event["model"]["sha256"] for event in events} == {both.sha256}
    assert {event["window"]["frames"] for event in events} == {8 * 15}
    assert {event["window"]["dropped"] for event in events} == {0}
