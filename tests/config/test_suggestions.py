"""Misspelt and natural but wrong names in a configuration get what their author looked for, with file and line."""

from pathlib import Path

import pytest

from edge_tdn.config.key_types import config_tables
from edge_tdn.config.load import load
from edge_tdn.config.synonyms import SYNONYMS
from tests.support.site import error_of, write_text

ACTION = '[[decide.action]]\nname = "fall"\n'
CAMERA = '[[camera]]\nname = "a"\nsource = "a.mp4"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[decide]\nthreshold = 0.5\n" + CAMERA, "site.toml:2: decide.threshold: unknown key; did you mean 'enter_thr"),
        ("[decide]\nConfidence = 1\n" + CAMERA, "did you mean 'enter_threshold'? (score at which an action starts)"),
        (
            ACTION + "threshold = 1\n" + CAMERA,
            "decide.action[0].threshold: unknown key; did you mean 'enter_threshold'?",
        ),
        (CAMERA + "rtsp = 'x'\n", "site.toml:4: camera[0].rtsp: unknown key; did you mean 'source'? (file, rtsp(s)://"),
        (CAMERA + "password = 'x'\n", "did you mean 'password_file'? (file whose first line is the password;"),
        (CAMERA + "fps = 5\n", "camera[0].fps: unknown key; the model defines how many frames per second it reads"),
        ("[broker]\ntopic = 'x'\n" + CAMERA, "broker.topic: unknown key; did you mean 'base'? (prefix of every topic"),
        ("[mqtt]\n" + CAMERA, "site.toml:1: mqtt: unknown key; did you mean 'broker'?"),
        (
            CAMERA + "host = 'x'\n",
            "camera[0].host: unknown key; it belongs to the top of the file, above the first table",
        ),
        (CAMERA + "enter_threshold = 1\n", "unknown key; it belongs to [decide] or to [[decide.action]]"),
        ("[decide]\nmotion_gate = true\n" + CAMERA, "unknown key; it belongs to [[camera]]"),
        (
            "[runtime]\nprecision = 'FP-16'\n" + CAMERA,
            "runtime.precision = 'FP-16': should be 'fp32', 'fp16', 'bf16' or",
        ),
        ("[runtime]\nprecision = 'FP-16'\n" + CAMERA, "; did you mean 'fp16'?"),
        (
            "[runtime]\ndevice = 'gppu'\n" + CAMERA,
            "runtime.device = 'gppu': unknown device; did you mean 'GPU'? allowed:",
        ),
        (CAMERA + "loop = 'true'\n", "camera[0].loop = 'true': should be a valid boolean; write it without quotation"),
        (CAMERA + "hop = '2'\n", "camera[0].hop = '2': should be a valid integer; write it without quotation marks"),
        (
            "[broker]\nusername = 7\n" + CAMERA,
            "broker.username = 7: should be a valid string; write it in quotation marks",
        ),
    ],
)
def test_a_natural_but_wrong_name_or_value_gets_the_key_or_answer_that_was_looked_for(
    text: str, message: str, tmp_path: Path
) -> None:
    assert message in error_of(tmp_path, text)


def test_every_synonym_is_of_a_table_and_names_a_key_of_it_or_answers_in_words() -> None:
    """A key that is renamed must be renamed here; a name that has become a key must be removed."""
    tables = config_tables()
    assert set(SYNONYMS) <= set(tables)
    for table, synonyms in SYNONYMS.items():
        for name, meant in synonyms.items():
            assert name not in tables[table], (table, name)
            assert meant in tables[table] or " " in meant, (table, name, meant)


@pytest.mark.parametrize(
    ("written", "read"), [("cuda", "CUDA"), ("Gpu", "GPU"), ("AUTO", "auto"), ("gpu.1", "GPU.1"), ("CPU", "CPU")]
)
def test_the_capitals_of_a_device_make_no_difference(written: str, read: str, tmp_path: Path) -> None:
    assert load(write_text(tmp_path, f"[runtime]\ndevice = '{written}'\n" + CAMERA)).runtime.device == read


@pytest.mark.parametrize("device", ["", "CPU.1", "GPU.x", "TPU", "auto.0"])
def test_an_unknown_device_is_refused_with_those_that_exist(device: str, tmp_path: Path) -> None:
    message = error_of(tmp_path, f"[runtime]\ndevice = '{device}'\n" + CAMERA)
    assert "allowed: auto, CPU, GPU, NPU, CUDA" in message
