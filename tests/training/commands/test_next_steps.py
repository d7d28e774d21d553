"""The commands that a training prints can be pasted, and what was learned outlives every later failure."""

import errno
import io
import json
import shlex
import subprocess
import tomllib
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from edge_tdn_export.clips import find_videos
from edge_tdn_export.convert import convert
from edge_tdn_export.limits import LIMITS
from edge_tdn_training.__main__ import main
from edge_tdn_training.commands import export_model, next_steps
from edge_tdn_training.commands.finetune import CONFUSION, REPORT, Evaluated, Exported, write_results
from edge_tdn_training.commands.next_steps import serve_lines
from edge_tdn_training.evaluation.accuracy import Accuracy
from edge_tdn_training.loop.run_folder import CURVES

from edge_tdn.manifest import open_model
from tests.conftest import needs_bf16
from tests.support.training_clips import make_clips
from tests.support.training_tasks import environment
from tests.support.waiting import PROGRAM_S

pytestmark = pytest.mark.usefixtures("one_thread")
NAME = '-it\'s der "Flur" (ü) $HOME; C:\\clips'  # of a folder, which a shell or argparse would take apart


def test_the_results_show_the_precision_that_a_host_runs_by_default_and_warn_of_others(tmp_path: Path) -> None:
    truth = np.array([0, 1])
    right, wrong = (
        Accuracy(("a", "b"), logits, truth) for logits in (np.eye(2, dtype="f4"), np.eye(2, dtype="f4")[::-1])
    )
    plan: Any = SimpleNamespace(id="door")
    finetuned: Any = SimpleNamespace(data=SimpleNamespace(notes=(), recordings=2), record={}, curves=b"PNG")
    evaluated = Evaluated({"bf16": wrong, "fp32": right, "int8": wrong}, {"fp32": 0.0123, "int8": 0.0041}, 0.125)
    write_results(plan, finetuned, Exported(cast(Any, None), ()), evaluated, tmp_path)
    expected = right.picture("door, fp32: top-1 100.0% of 2 clips of 2 recording(s)")
    assert (tmp_path / CONFUSION).read_bytes() == expected
    assert (tmp_path / CURVES).read_bytes() == b"PNG"
    report = json.loads((tmp_path / REPORT).read_bytes())
    notes = report["notes"]
    assert report["hop_ms"] == {"fp32": 12.3, "int8": 4.1}
    assert evaluated.cost.startswith("a hop takes 12 ms in fp32, 4 ms in int8 on this machine")
    assert evaluated.cost.endswith("one every 125 ms")
    assert [note.partition(":")[0] for note in notes] == [
        "bf16 is less accurate than fp32",
        "int8 is less accurate than fp32",
    ]


def test_videos_of_any_name_calibrate_a_new_model(tmp_path: Path) -> None:
    """Also of the longest one, and of the same one in two folders."""
    names = (f"a/{'x' * 251}.mp4", "a/1.mp4", "b/1.mp4")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "links").mkdir()
    export_model.link_videos([tmp_path / name for name in names], tmp_path / "links")
    found = find_videos(tmp_path / "links")
    assert [path.resolve() for path in found] == [tmp_path / name for name in names]
    assert [path.name for path in found] == [Path(name).name for name in names]


def test_the_lines_that_serve_a_model_are_toml_and_commands_for_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the configuration in this folder, or if there is none, for that of an installed host."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/site.toml").touch()
    monkeypatch.setattr(next_steps, "INSTALLED", tmp_path / "etc")
    made = Path("models", NAME)
    _, copied, *toml, _, check, reload = serve_lines(made)
    served = f"{tmp_path}/etc/models/{NAME}"
    copy = ["sudo", "cp", "-r", str(tmp_path / made), f"{tmp_path}/etc/models/"]
    assert shlex.split(copied)[5:] == [*copy, "&&", "sudo", "chmod", "-R", "a+rX", served]
    assert tomllib.loads("\n".join(toml)) == {"runtime": {"model": served, "precision": "fp32"}}
    assert shlex.split(check)[1:] == ["check", "--config", str(tmp_path / "etc/site.toml")]
    assert reload == "  sudo systemctl reload edge-tdn"
    (tmp_path / "site.toml").touch()
    _, *toml, _, check, run, _, copy_first, key = serve_lines(made)
    assert copy_first == copied
    assert tomllib.loads(key) == {"model": served}
    assert tomllib.loads("\n".join(toml)) == {"runtime": {"model": str(tmp_path / made), "precision": "fp32"}}
    assert [shlex.split(line)[1:] for line in (check, run)] == [
        ["check", "--config", "site.toml"],
        ["run", "--config", "site.toml"],
    ]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of clips below NAME."""
    folder = tmp_path_factory.mktemp("next")
    make_clips(folder / NAME / "clips")
    return folder


@pytest.fixture(scope="module")
def trained(workspace: Path) -> str:
    """The output of a training below NAME, at a rate that no short decimal describes."""
    network = ("--arch=resnet18", "--width=0.125", "--segments=4", "--size=64", f"--frame-rate={30000 / 1001 / 2}")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as output:
        patch.chdir(workspace)
        line = (f"--data={NAME}/clips", f"--out={NAME}/my run", "--cache=cache", *network)
        assert main(["train", *line, "--epochs=1", "--batch=4", "--device=cpu", "--workers=0"]) == 0
    return output.getvalue()


def paste(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a printed command line in a shell."""
    return subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, cwd=folder, env=environment(), timeout=PROGRAM_S
    )


def lines_after(text: str, *starts: str) -> list[str]:
    """Return for each start the rest of the one line that begins with it."""
    found = []
    for start in starts:
        (line,) = (line for line in text.splitlines() if line.startswith(start))
        found.append(line.removeprefix(start))
    return found


@pytest.mark.slow
def test_the_command_that_train_prints_makes_a_model_folder(trained: str, workspace: Path) -> None:
    (line,) = lines_after(trained, "next: ")
    done = paste(line, workspace)
    assert done.returncode == 0, done.stderr
    model = open_model(workspace / "models/my-run")
    assert model.manifest.id == "my-run"
    assert model.labels == ("left", "right")
    assert model.manifest.input.frame_rate == 30000 / 1001 / 2


@pytest.fixture
def finetune(trained: str, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """finetune("out") -> the exit status of a fine-tuning of the run, with the id `door`."""
    monkeypatch.chdir(workspace)
    line = (
        f"--data={NAME}/clips",
        f"--from={NAME}/my run",
        "--cache=cache",
        "--epochs=1",
        "--id=door",
        "--without-background",
    )
    return lambda out: main(["finetune", *line, f"--out={out}", "--device=cpu", "--workers=0"])


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("no kernel")])
@pytest.mark.slow
def test_weights_are_kept_when_the_export_fails_and_the_printed_commands_continue(
    fault: Exception,
    finetune: Callable[[str], int],
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The first command is the one that was typed; the second makes a model folder of what there is."""
    out = f"{NAME}/{type(fault).__name__}"

    def fail(*_: object) -> None:
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr(convert, "_fill", fail)
        assert finetune(out) == 78
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    weights, again, fewer = lines_after(
        shown,
        "the trained weights are kept: ",
        "to continue from there: ",
        "without INT8, comparison and evaluation: ",
    )
    assert (workspace / weights).stat().st_size > 100_000
    assert not (workspace / out).exists()
    words = subprocess.run(
        ["sh", "-c", f"for word in {again}; do printf '%s\\0' \"$word\"; done"], capture_output=True, text=True
    ).stdout.split("\0")[:-1]
    assert Path(words[0]).name == "edge-tdn-train"
    assert [words[1], words[-3]] == ["finetune", f"--out={out}"]
    if isinstance(fault, OSError):
        done = paste(fewer, workspace)
        assert done.returncode == 0, done.stderr
        made = open_model(workspace / out)
        assert (made.manifest.id, list(made.manifest.precisions)) == ("door", ["fp32"])


@needs_bf16
@pytest.mark.training
def test_no_learning_is_lost_to_a_precision_that_misses_its_limit(
    finetune: Callable[[str], int],
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """BF16 differs by more than it may, and INT8 cannot be made at all: the folder has FP32, and states why."""

    def fail(*_: object) -> None:
        raise TypeError("NNCF has changed")

    monkeypatch.setitem(LIMITS, "bf16", replace(LIMITS["bf16"], max_logit_error=1e-12))
    monkeypatch.setattr(export_model, "_to_int8", fail)
    assert finetune("reduced") == 0
    shown = capsys.readouterr().out
    assert "no bf16: the export to bf16 differs from PyTorch by " in shown
    assert "no int8: NNCF has changed" in shown
    model = open_model(workspace / "reduced")
    assert list(model.manifest.precisions) == ["fp32"]
    assert model.manifest.parity["fp32"].max_logit_error is not None
    assert '"no bf16: ' in (workspace / "reduced/finetune.json").read_text()
