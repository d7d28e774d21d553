"""Files of labels as they are published, and files that are something else."""

import json
from pathlib import Path

import pytest
from edge_tdn_export.lists.labels import read_labels

from edge_tdn.errors import ConfigError, ModelError


@pytest.mark.parametrize(
    ("name", "content", "labels", "shown"),
    [
        ("labels.txt", "up\ndown, slowly\n", ("up", "down, slowly"), "one label per line, 2 labels"),
        (
            "classInd.txt",
            "2 Archery\r\n1 ApplyEyeMakeup\r\n\r\n",
            ("ApplyEyeMakeup", "Archery"),
            "numbered labels, 1-based",
        ),
        ("k400.csv", 'id,name\n0,abseiling\n1,"a, b"\n', ("abseiling", "a, b"), "numbered labels, 0-based"),
        ("map.txt", "0 a b\n1 c\n", ("a b", "c"), "numbered labels, 0-based"),
        (
            "x-labels.json",
            '{"Turning [x]": "1", "Up": "0"}',
            ("Up", "Turning [x]"),
            "JSON with numbered labels, 0-based",
        ),
        ("k.json", '{"\\"riding\\"": 0, "up": 1}', ("riding", "up"), "JSON with numbered labels, 0-based"),
        ("id2label.json", '{"1": "up", "2": "down"}', ("up", "down"), "JSON with numbered labels, 1-based"),
        ("l.json", '["up", "down"]', ("up", "down"), "JSON with a list of labels"),
        ("odd.txt", "[up]\n{down}\n", ("[up]", "{down}"), "one label per line"),
        ("digits.txt", "0\n1\n2\n", ("0", "1", "2"), "one label per line"),
        ("hands.txt", "1 finger\n2 fingers\n3 fingers\n", ("1 finger", "2 fingers", "3 fingers"), "one label per line"),
        ("words.txt", "up 2\ndown 9\n", ("up 2", "down 9"), "one label per line, 2 labels"),
        ("steps.txt", "step 1\nstep 2\n", ("step 1", "step 2"), "one label per line"),
        ("last.txt", "Lipstick 2\nEyeMakeup 1\n", ("EyeMakeup", "Lipstick"), "labels with their numbers, 1-based"),
        ("last.csv", 'Abseiling,0\n"a, b",1\n', ("Abseiling", "a, b"), "labels with their numbers, 0-based"),
    ],
)
def test_published_labels_are_read_in_the_order_of_their_numbers(
    name: str, content: str, labels: tuple[str, ...], shown: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    found = read_labels(tmp_path / name)
    assert found.labels == labels
    assert f"{tmp_path / name}: {shown}" in found.note


def test_labels_of_a_run_are_never_renumbered(tmp_path: Path) -> None:
    """Its labels.txt was written by the trainer: "1 hand" is a label there."""
    (tmp_path / "labels.txt").write_text("1 hand\n2 feet\n")
    assert read_labels(tmp_path / "labels.txt").labels == ("hand", "feet")
    (tmp_path / "weights.safetensors").touch()
    assert read_labels(tmp_path / "labels.txt").labels == ("1 hand", "2 feet")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train.txt", "a/b.mp4 0\nc.avi 30 1\n", r"train\.txt:1: 'a/b\.mp4 0': a list of videos, not labels"),
        ("split.txt", "[x]_y.avi 1 \nz.avi 2 \n", "a list of videos, not labels"),
        ("k.csv", "label,youtube_id,time_start,time_end,split\na,b,0,1,train\n", "a list of Kinetics, not labels"),
        ("s.csv", "78687;Holding something\n42326;Turning something\n", "a list of videos and their labels"),
        ("s.json", '[{"id": "1", "template": "Up"}]', "JSON, but not labels"),
        ("n.json", '{"up": 0, "down": 2}', "label 'down' has the number 2; expected numbers from 0 or 1 on, each once"),
        ("n.json", '{"up": 3, "down": 4}', "label 'up' has the number 3"),
        ("n.json", '{"up": 0, "up": 1}', "duplicate label 'up'"),
        ("n.json", '{"up": 0', r"n\.json:1: not JSON"),
        ("n.json", "[" * 100000, r"not JSON"),
        ("h.csv", "id,name\n0,up\ndown\n", r"h\.csv:3: 'down'; expected a number and a label"),
        ("h.csv", "id,name\n", "no label in the file"),
        (
            "lost.csv",
            "1,a\n2,b\n4,c\n",
            r"lost\.csv:3: label 'c' has the number 4; expected .* JSON list",
        ),
        ("words.txt", "2 up\n9 down\n", r"words\.txt:1: label 'up' has the number 2"),
        ("twice.txt", "1 a\n1 b\n", r"twice\.txt:2: label 'b' has the number 1"),
        ("l.txt", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "is a Git LFS pointer"),
        ("l.txt", "\n<!DOCTYPE html>\n<html><body>Sign in</body></html>\n", r"l\.txt: is a web page"),
        ("l.txt", "", r"l\.txt: is empty"),
        ("l.txt", "up\nd\x07own\n", r"l\.txt:2: label 'd\\x07own' has a control character"),
        ("l.txt", "up\nup\n", r"l\.txt:2: duplicate label"),
    ],
)
def test_files_that_are_not_labels_are_refused_with_their_line(
    name: str, content: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises((ConfigError, ModelError), match=message):
        read_labels(tmp_path / name)


def test_labels_may_be_in_any_script(tmp_path: Path) -> None:
    """Words with joiners and wide spaces are not taken for control characters."""
    labels = ["می\u200cدود", "人が\u3000転ぶ", "naïve\u00a0pas", "👩\u200d🚒"]
    (tmp_path / "l.json").write_text(json.dumps(labels))
    assert read_labels(tmp_path / "l.json").labels == tuple(labels)
