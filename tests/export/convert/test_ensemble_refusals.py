"""Ensembles that are refused or interrupted: the message names what differs, and nothing is written."""

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from edge_tdn_export.__main__ import main
from edge_tdn_export.convert.ensemble import ensemble, steps
from edge_tdn_export.limits import LIMITS

from edge_tdn.errors import ModelError
from edge_tdn.manifest import Build, Manifest, Model
from tests.support.ensembles import Change, Pair, changed, of_input


def renamed(manifest: Manifest) -> dict[str, object]:
    build: Build = manifest.precisions["fp32"]
    return {"precisions": {"onnx": build}}


@pytest.mark.parametrize(
    ("change", "parts"),
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
            of_input(segment_stride=5),
            ["is 5: 16 segments span 80 frames", "8 * 6 = 48", "--segment-stride N, a multiple of 2"],
            id="stride",
        ),
        pytest.param(renamed, ["no precision that every folder has", "fp32, bf16", "onnx"], id="precisions"),
    ],
)
def test_folders_that_do_not_match_are_refused(pair: Pair, tmp_path: Path, change: Change, parts: list[str]) -> None:
    other = changed(pair.t16, tmp_path / "other", change)
    check_refused([pair.t8, other], tmp_path, str(other), *parts)


@pytest.mark.parametrize(
    ("labels", "parts"),
    [
        (("one", "three", "two"), ["labels.txt:2: 'three'", "has 'two'", "same order"]),
        (("one", "two", "three", "four"), ["labels.txt: 4 labels", "has 3"]),
    ],
)
def test_different_labels_are_refused(pair: Pair, tmp_path: Path, labels: tuple[str, ...], parts: list[str]) -> None:
    other = changed(pair.t16, tmp_path / "other", lambda _: {}, labels)
    check_refused([pair.t8, other], tmp_path, str(other), *parts)


def test_network_with_too_many_segments_is_refused(pair: Pair, tmp_path: Path) -> None:
    few = changed(pair.t8, tmp_path / "few", of_input(segments=2, segment_stride=32))
    many = changed(pair.t16, tmp_path / "many", of_input(segments=64, segment_stride=1))
    check_refused([few, many], tmp_path, "per_segment.1", "less than or equal to 8", "got 32")


def test_fewer_than_two_folders_are_refused(pair: Pair, tmp_path: Path) -> None:
    check_refused([], tmp_path, "two model folders or more, got 0")
    check_refused([pair.t8], tmp_path, "two model folders or more, got 1", str(pair.t8))


def test_an_ensemble_of_ensembles_is_refused(pair: Pair, both: Model, tmp_path: Path) -> None:
    check_refused(
        [pair.t8, both.folder], tmp_path, f"{both.folder / 'manifest.json'}: members: 2 networks, allowed is 1"
    )


def test_damaged_or_missing_folder_is_refused(pair: Pair, tmp_path: Path) -> None:
    damaged = shutil.copytree(pair.t16, tmp_path / "damaged")
    content = bytearray((damaged / "fp32/head.bin").read_bytes())
    content[100] ^= 1
    (damaged / "fp32/head.bin").write_bytes(content)
    check_refused([pair.t8, damaged], tmp_path, f"{damaged / 'fp32/head.bin'}: content changed")
    check_refused([pair.t8, tmp_path / "none"], tmp_path, f"{tmp_path / 'none'}: no such model folder")


@pytest.mark.parametrize(
    ("frames", "parts"),
    [
        (7, ["--segment-stride 7", "16 segments would need one every 7/2 frames", "multiples of 2"]),
        (-2, ["segment_stride", "greater than or equal to 1", "got -2"]),
        (2000, ["segment_stride", "less than or equal to 1000", "got 2000"]),
    ],
)
def test_impossible_stride_is_refused(pair: Pair, tmp_path: Path, frames: int, parts: list[str]) -> None:
    check_refused([pair.t8, pair.t16], tmp_path, *parts, segment_stride=frames)


def test_id_that_cannot_be_part_of_a_topic_is_refused(pair: Pair, tmp_path: Path) -> None:
    check_refused([pair.t8, pair.t16], tmp_path, "id 'a/b'", id="a/b")


def check_refused(folders: list[Path], tmp_path: Path, *parts: str, id: str = "x", segment_stride: int = 0) -> None:  # noqa: A002
    """Assert that the message has all of the parts and that nothing is written."""
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ModelError) as error:
        ensemble(folders, tmp_path / "out", id=id, segment_stride=segment_stride)
    for part in parts:
        assert part in str(error.value)
    assert sorted(tmp_path.iterdir()) == before


def test_existing_folder_is_not_touched(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    check_refused([pair.t8, pair.t16], tmp_path, f"{tmp_path / 'out'}: exists already")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("at", [0, 1, 2, 3, 4, 5])
def test_interrupt_at_any_step_leaves_nothing_behind(pair: Pair, tmp_path: Path, at: int) -> None:
    reported: list[str] = []

    def interrupt(what: str) -> None:
        reported.append(what)
        if len(reported) > at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensemble([pair.t8, pair.t16], tmp_path / "out", id="x", step=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_ensemble_reports_the_promised_number_of_steps(pair: Pair, tmp_path: Path) -> None:
    reported: list[str] = []
    ensemble([pair.t8, pair.t16], tmp_path / "out", id="x", step=reported.append)
    assert len(reported) == steps([pair.t8, pair.t16]) == 6


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Make writes beyond this number of bytes of a file fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk_leaves_nothing_behind(pair: Pair, tmp_path: Path) -> None:
    with largest_file(100_000):
        check_refused([pair.t8, pair.t16], tmp_path, f"{tmp_path / 'out'}: ", "nothing written; is the disk full?")


def test_a_precision_that_exceeds_its_limit_is_refused_with_advice_that_the_command_can_follow(
    pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ensemble` has no option for precisions: it has those of its folders."""
    monkeypatch.setitem(LIMITS, "fp32", replace(LIMITS["fp32"], max_logit_error=1e-12))
    assert main(["ensemble", str(pair.t8), str(pair.t16), str(tmp_path / "both")]) == 78
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("edge-tdn-export: the export to fp32 differs from PyTorch by ")
    assert message.endswith("an ensemble has the precisions that all its folders have: convert one of them without it")
    assert list(tmp_path.iterdir()) == []


def test_a_shipped_model_is_known_by_its_name(
    pair: Pair, tmp_path: Path, motion: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is opened: its labels are other ones than those of the small network."""
    assert main(["ensemble", "motion", str(pair.t8), str(tmp_path / "both")]) == 78
    assert f"{motion.folder} has {len(motion.labels)}; the logits" in capsys.readouterr().err
