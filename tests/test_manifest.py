"""Opening a model folder: what was checked is what is used; anything else is named and refused."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_tdn.errors import ModelError
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.manifest import Model, find_model, open_model, parse_labels, records, shipped_models
from tests.support.model_folders import edit_manifest, rehash


def graphs(content: dict) -> dict:  # type: ignore[type-arg]
    """The graphs of the manifest's only network in FP32."""
    found: dict[str, object] = content["precisions"]["fp32"]["graphs"][0]
    return found


def test_the_shipped_model_opens(motion: Model) -> None:
    assert motion.labels == ("still", "left", "right", "up", "down", "approach", "recede", "wave")
    assert motion.manifest.background == ("still",)


@pytest.mark.parametrize(
    "name", ["labels.txt", "fp32/encoder.xml", "fp32/head.bin", "golden.npz", "weights.safetensors"]
)
def test_any_changed_file_is_named(name: str, model_copy: Path) -> None:
    raw = bytearray((model_copy / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (model_copy / name).write_bytes(raw)
    with pytest.raises(ModelError, match=rf"{name}.*content changed since export"):
        open_model(model_copy)
    (model_copy / name).write_bytes(raw[:-1])
    with pytest.raises(ModelError, match=rf"{name}.*the manifest says"):
        open_model(model_copy)
    (model_copy / name).unlink()
    with pytest.raises(ModelError, match=rf"{name}: No such file"):
        open_model(model_copy)


def test_a_link_in_the_folder_is_refused(model_copy: Path, tmp_path: Path) -> None:
    (model_copy / "labels.txt").rename(tmp_path / "elsewhere.txt")
    (model_copy / "labels.txt").symlink_to(tmp_path / "elsewhere.txt")
    with pytest.raises(ModelError, match=r"labels\.txt"):
        open_model(model_copy)


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/hostname"])
def test_a_manifest_cannot_point_out_of_its_folder(name: str, model_copy: Path) -> None:
    edit_manifest(model_copy, lambda content: content["files"].update({name: {"size": 1, "sha256": "0" * 64}}))
    with pytest.raises(ModelError, match="leads out of the model folder"):
        open_model(model_copy)


def test_a_label_too_many_is_refused(model_copy: Path) -> None:
    with (model_copy / "labels.txt").open("a") as file:
        file.write("ninth\n")
    rehash(model_copy, "labels.txt")
    with pytest.raises(ModelError, match="9 labels, but the model has 8 classes"):
        open_model(model_copy)


def test_another_label_file_of_the_same_length_is_refused(model_copy: Path) -> None:
    """The manifest's own hash of the labels, so that a swapped order is no small matter."""
    text = (model_copy / "labels.txt").read_text().replace("left", "LEFT")
    (model_copy / "labels.txt").write_text(text)
    record = records(model_copy, ["labels.txt"])["labels.txt"].model_dump()
    edit_manifest(model_copy, lambda content: content["files"].update({"labels.txt": record}))
    with pytest.raises(ModelError, match="not the labels that the manifest names"):
        open_model(model_copy)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"a\n\nb\n", ":2: an empty label"),
        (b"a\nb\na\n", ":3: label 'a' stands here a second time"),
        (b"caf\xe9\n", "not UTF-8"),
    ],
)
def test_bad_label_files_say_the_line(raw: bytes, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        parse_labels(Path("labels.txt"), raw)


def test_a_byte_order_mark_is_no_part_of_a_label() -> None:
    assert parse_labels(Path("labels.txt"), "\ufeffa\r\nb\r\n".encode()) == ("a", "b")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda c: c.update(classes="many"), "classes"),
        (lambda c: c["input"].update(frame_rate=0), "input.frame_rate"),
        (lambda c: c["input"].update(short_side=5, resize="short_side_centre_crop"), "input"),
        (lambda c: c.update(schema=2), "schema"),
        (lambda c: c.update(surprise=1), "surprise"),
        (lambda c: c.pop("files"), "files"),
    ],
)
def test_a_wrong_manifest_names_the_key(change: Callable[[dict], None], key: str, model_copy: Path) -> None:  # type: ignore[type-arg]
    edit_manifest(model_copy, change)
    with pytest.raises(ModelError, match=rf"manifest\.json: {key}"):
        open_model(model_copy)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"frame_rate": 15.0', '"frame_rate": 30.0'),
        ('"segment_stride": 4', '"segment_stride": 3'),
        ('"height": 96', '"height": 64'),
        ('"still"', '"left"'),
        ('"id": "motion"', '"id": "notion"'),
        ('"golden_error": ', '"golden_error": 1'),
    ],
)
def test_a_manifest_changed_by_hand_is_refused_by_its_digest(before: str, after: str, model_copy: Path) -> None:
    """Each is a value that the schema allows."""
    path = model_copy / "manifest.json"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(ModelError, match=r"manifest\.json: content changed since export \(digest differs\)"):
        open_model(model_copy)


def test_the_digest_is_of_the_text_so_that_a_later_version_still_opens_it(model_copy: Path) -> None:
    """Optional fields that a manifest does not have yet change nothing; a text that was changed in any way is told."""
    path = model_copy / "manifest.json"
    content = json.loads(path.read_text())
    del content["background"], content["digest"]
    text = json.dumps({"digest": "0" * 64, **content}, indent=4)
    path.write_text(text.replace("0" * 64, hashlib.sha256(text.encode()).hexdigest(), 1))
    assert open_model(model_copy).manifest.background == ()
    path.write_text(path.read_text().replace("    ", "  "))
    with pytest.raises(ModelError, match="digest differs"):
        open_model(model_copy)


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_a_manifest_that_is_no_json_is_refused(raw: bytes, model_copy: Path) -> None:
    (model_copy / "manifest.json").write_bytes(raw)
    with pytest.raises(ModelError, match=r"manifest\.json"):
        open_model(model_copy)


def test_a_forged_model_fails_its_self_test(model_copy: Path) -> None:
    """All hashes fit, but the weights are others than those that gave the golden logits."""
    raw = np.frombuffer((model_copy / "fp32/head.bin").read_bytes(), np.float32).copy()
    raw[np.abs(raw) > 1e-30] *= 1.02  # what is smaller are whole numbers: shapes
    (model_copy / "fp32/head.bin").write_bytes(raw.tobytes())
    rehash(model_copy, "fp32/head.bin")
    with pytest.raises(ModelError, match="self-test failed"):
        open_runtime(open_model(model_copy))


@pytest.mark.parametrize("name", ["labels.txt", "manifest.json"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_a_folder_in_place_of_a_file_is_refused(
    make: Callable[[Path], None], name: str, model_copy: Path
) -> None:
    (model_copy / name).unlink()
    make(model_copy / name)
    with pytest.raises(ModelError, match=rf"{name}: not a regular file"):
        open_model(model_copy)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["input"].update(height=97),
        lambda c: c["input"].update(segments=4),
        lambda c: graphs(c).update(encoder=graphs(c)["head"]),
        lambda c: graphs(c).update(features={"other": [1]}),
        lambda c: graphs(c)["features"].update(h=[-1, 2]),
    ],
)
def test_a_manifest_that_does_not_fit_its_graphs_fails_the_self_test(
    change: Callable[[dict], None],  # type: ignore[type-arg]
    model_copy: Path,
) -> None:
    edit_manifest(model_copy, change)
    with pytest.raises(ModelError, match=r"self-test|golden\.npz"):
        open_runtime(open_model(model_copy))


@pytest.mark.parametrize("golden", [b"", b"text", b"PK\x03\x04"])
def test_a_golden_clip_that_is_none_is_refused(golden: bytes, model_copy: Path) -> None:
    (model_copy / "golden.npz").write_bytes(golden)
    rehash(model_copy, "golden.npz")
    with pytest.raises(ModelError, match="self-test"):
        open_runtime(open_model(model_copy))


def test_a_golden_clip_whose_logits_are_infinite_proves_nothing(model_copy: Path) -> None:
    clip = np.zeros((8, 5, 96, 96, 3), np.uint8)
    np.savez(model_copy / "golden.npz", clip=clip, logits=np.full(8, np.inf, np.float32))
    rehash(model_copy, "golden.npz")
    with pytest.raises(ModelError, match=r"golden\.npz"):
        open_runtime(open_model(model_copy))


def test_a_graph_that_does_not_parse_is_named(model_copy: Path) -> None:
    (model_copy / "fp32/encoder.xml").write_text("<net></net>")
    rehash(model_copy, "fp32/encoder.xml")
    with pytest.raises(ModelError, match=r"encoder\.xml: OpenVINO cannot compile"):
        open_runtime(open_model(model_copy))


def test_precisions_and_devices_that_are_not_there_are_listed(motion: Model) -> None:
    with pytest.raises(ModelError, match=r"no precision 'fp16'; this model has: fp32"):
        open_runtime(motion, precision="fp16")
    with pytest.raises(ModelError, match=r"device 'TPU' is not here; OpenVINO finds: .*CPU"):
        open_runtime(motion, device="TPU")


def test_a_name_finds_the_shipped_model_and_a_path_wins(tmp_path: Path, model_copy: Path) -> None:
    assert find_model("motion", tmp_path) == shipped_models() / "motion"
    model_copy.rename(tmp_path / "motion")
    assert find_model("motion", tmp_path) == tmp_path / "motion"
    with pytest.raises(ModelError, match="no such model folder"):
        open_model(find_model("nothing", tmp_path))
