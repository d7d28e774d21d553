"""Opening a model folder: only verified content is used; any fault is refused with the name of its file."""

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_tdn.errors import ModelError
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.label_file import parse_labels
from edge_tdn.manifest import Model, find_model, open_model, records, shipped_models
from tests.support.model_folders import Content, edit_manifest, rehash


def graphs(content: Content) -> Content:
    """Return the graphs of the manifest's only network in FP32."""
    found: Content = content["precisions"]["fp32"]["graphs"][0]
    return found


def test_the_shipped_model_can_be_opened(motion: Model) -> None:
    assert motion.labels == ("still", "left", "right", "up", "down", "approach", "recede", "wave")
    assert motion.manifest.background == ("still",)


@pytest.mark.parametrize(
    "name", ["labels.txt", "fp32/encoder.xml", "fp32/head.bin", "golden.npz", "weights.safetensors"]
)
def test_a_changed_or_missing_file_is_refused_with_its_name(name: str, model_copy: Path) -> None:
    raw = bytearray((model_copy / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (model_copy / name).write_bytes(raw)
    with pytest.raises(ModelError, match=rf"{name}.*content changed since export"):
        open_model(model_copy)
    (model_copy / name).write_bytes(raw[:-1])
    with pytest.raises(ModelError, match=rf"{name}.*bytes, but [0-9]+ in the manifest"):
        open_model(model_copy)
    (model_copy / name).unlink()
    with pytest.raises(ModelError, match=rf"{name}: No such file"):
        open_model(model_copy)


def test_a_symbolic_link_in_the_folder_is_refused(model_copy: Path, tmp_path: Path) -> None:
    (model_copy / "labels.txt").rename(tmp_path / "elsewhere.txt")
    (model_copy / "labels.txt").symlink_to(tmp_path / "elsewhere.txt")
    with pytest.raises(ModelError, match=r"labels\.txt"):
        open_model(model_copy)


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/hostname"])
def test_a_file_outside_the_model_folder_is_refused(name: str, model_copy: Path) -> None:
    edit_manifest(model_copy, lambda content: content["files"].update({name: {"size": 1, "sha256": "0" * 64}}))
    with pytest.raises(ModelError, match="is outside the model folder"):
        open_model(model_copy)


def test_more_labels_than_classes_are_refused(model_copy: Path) -> None:
    with (model_copy / "labels.txt").open("a") as file:
        file.write("ninth\n")
    rehash(model_copy, "labels.txt")
    with pytest.raises(ModelError, match="9 labels, but the model has 8 classes"):
        open_model(model_copy)


def test_other_labels_of_the_same_number_are_refused(model_copy: Path) -> None:
    """The manifest has a hash of the labels of its own, since another order would change every event."""
    text = (model_copy / "labels.txt").read_text().replace("left", "LEFT")
    (model_copy / "labels.txt").write_text(text)
    record = records(model_copy, ["labels.txt"])["labels.txt"].model_dump()
    edit_manifest(model_copy, lambda content: content["files"].update({"labels.txt": record}))
    with pytest.raises(ModelError, match="not the labels of the manifest"):
        open_model(model_copy)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"a\n\nb\n", ":2: empty label"),
        (b"a\nb\na\n", ":3: duplicate label 'a'"),
        (b"caf\xe9\n", "not UTF-8"),
    ],
)
def test_an_invalid_label_is_refused_with_its_line(raw: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        parse_labels(Path("labels.txt"), raw)


def test_a_byte_order_mark_is_not_part_of_a_label() -> None:
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
def test_an_invalid_manifest_is_refused_with_its_key(
    change: Callable[[Content], None], key: str, model_copy: Path
) -> None:
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
    """Each new value is valid by the schema."""
    path = model_copy / "manifest.json"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(ModelError, match=r"manifest\.json: content changed since export \(digest differs\)"):
        open_model(model_copy)


def test_a_later_version_opens_a_manifest_that_lacks_its_new_fields(model_copy: Path) -> None:
    """The digest is of the text: missing optional fields change nothing, and any change of the text is refused."""
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
def test_a_manifest_that_is_not_valid_json_is_refused(raw: bytes, model_copy: Path) -> None:
    (model_copy / "manifest.json").write_bytes(raw)
    with pytest.raises(ModelError, match=r"manifest\.json"):
        open_model(model_copy)


def test_a_forged_model_fails_its_self_test(model_copy: Path) -> None:
    """All hashes match, but the golden logits were computed with other weights."""
    raw = np.frombuffer((model_copy / "fp32/head.bin").read_bytes(), np.float32).copy()
    raw[np.abs(raw) > 1e-30] *= 1.02  # smaller values are integers, such as shapes
    (model_copy / "fp32/head.bin").write_bytes(raw.tobytes())
    rehash(model_copy, "fp32/head.bin")
    with pytest.raises(ModelError, match="self-test failed"):
        open_runtime(open_model(model_copy))


@pytest.mark.parametrize("name", ["labels.txt", "manifest.json"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_a_folder_instead_of_a_file_is_refused(
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
    change: Callable[[Content], None], model_copy: Path
) -> None:
    edit_manifest(model_copy, change)
    with pytest.raises(ModelError, match=r"self-test|golden\.npz"):
        open_runtime(open_model(model_copy))


@pytest.mark.parametrize("golden", [b"", b"text", b"PK\x03\x04"])
def test_an_invalid_golden_clip_is_refused(golden: bytes, model_copy: Path) -> None:
    (model_copy / "golden.npz").write_bytes(golden)
    rehash(model_copy, "golden.npz")
    with pytest.raises(ModelError, match="self-test"):
        open_runtime(open_model(model_copy))


def test_a_golden_clip_with_infinite_logits_is_refused(model_copy: Path) -> None:
    clip = np.zeros((8, 5, 96, 96, 3), np.uint8)
    np.savez(model_copy / "golden.npz", clip=clip, logits=np.full(8, np.inf, np.float32))
    rehash(model_copy, "golden.npz")
    with pytest.raises(ModelError, match=r"golden\.npz"):
        open_runtime(open_model(model_copy))


def test_an_invalid_graph_is_refused_with_its_name(model_copy: Path) -> None:
    (model_copy / "fp32/encoder.xml").write_text("<net></net>")
    rehash(model_copy, "fp32/encoder.xml")
    with pytest.raises(ModelError, match=r"encoder\.xml: OpenVINO cannot compile"):
        open_runtime(open_model(model_copy))


def test_an_unknown_precision_or_device_is_refused_with_those_that_exist(motion: Model) -> None:
    with pytest.raises(ModelError, match=r"no precision 'fp16'; this model has: fp32"):
        open_runtime(motion, precision="fp16")
    with pytest.raises(ModelError, match=r"device 'TPU' is not available; OpenVINO finds: .*CPU"):
        open_runtime(motion, device="TPU")


def test_a_path_takes_precedence_over_the_name_of_a_shipped_model(tmp_path: Path, model_copy: Path) -> None:
    assert find_model("motion", tmp_path) == shipped_models() / "motion"
    model_copy.rename(tmp_path / "motion")
    assert find_model("motion", tmp_path) == tmp_path / "motion"
    with pytest.raises(ModelError, match="no such model folder"):
        open_model(find_model("nothing", tmp_path))


@pytest.mark.parametrize(
    "name",
    [
        "manifest.json",
        "labels.txt",
        "golden.npz",
        "weights.safetensors",
        "fp32/encoder.xml",
        "fp32/encoder.bin",
        "int8/head.xml",
        "int8/head.bin",
    ],
)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n",
            "is a Git LFS pointer, not the file",
        ),
        (b"<!DOCTYPE html>\n<title>404</title>", "is a web page, not the file itself; download it again"),
        (b"", "is empty; download or copy it again"),
    ],
)
def test_failed_download_in_a_model_folder_is_described(
    name: str, content: bytes, message: str, model_copy: Path
) -> None:
    (model_copy / name).write_bytes(content)
    with pytest.raises(ModelError, match=f"{re.escape(str(model_copy / name))}: {message}"):
        open_model(model_copy)


def test_file_in_place_of_a_model_folder_is_described(tmp_path: Path) -> None:
    (tmp_path / "best.pth.tar").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"best\.pth\.tar: is a file, not a model folder; create one with `edge-tdn-e"):
        open_model(tmp_path / "best.pth.tar")


def test_folder_without_a_manifest_is_not_a_model_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"not a model folder: it has no manifest\.json; give a model folder"):
        open_model(tmp_path)
