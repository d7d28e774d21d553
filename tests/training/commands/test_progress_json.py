"""`finetune --progress json`, and the training of the page with the real trainer."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_tdn.demo.scene import Pose, Scene
from edge_tdn.hub.teaching_access import FinetuneState
from edge_tdn.manifest import open_model
from edge_tdn.media.video_writer import write_video
from edge_tdn.service.finetune_job import FinetuneJob
from edge_tdn.service.models_folder import find_trainer, list_models
from tests.support.networks import imagenet_names, small_network
from tests.support.training_clips import RATE, make_clips
from tests.support.waiting import PROGRAM_S, eventually

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's folder: clips of a bar that crosses, and of pictures in which nothing moves as background."""
    page = tmp_path_factory.mktemp("page")
    clips = make_clips(page / "clips", each=4)
    (clips / "dataset.toml").unlink()
    (clips / "left").rename(clips / "bar crosses")
    for path in (clips / "right").iterdir():
        path.rename(clips / "bar crosses" / f"back-{path.name}")
    (clips / "right").rmdir()
    for n in range(6):
        scene = Scene(np.random.default_rng(n), 80, 112)
        still = (scene.draw(Pose(0.5, 0.5, 0.3) if n % 2 else None) for _ in range(36))
        write_video(still, RATE, clips / "background" / f"{n}.mp4")
    torch.save(imagenet_names(small_network(width=1.0).state_dict()), page / "resnet18.pth")
    return page


@pytest.fixture
def trainer(page: Path) -> list[str]:
    """The real trainer, as the daemon starts it, with random weights in place of ImageNet's."""
    words = find_trainer("")
    assert words
    (program := page / "trainer.py").write_text(
        "import sys\nfrom edge_tdn_training.__main__ import main\n"
        f"sys.exit(main([*sys.argv[1:], '--imagenet', {str(page / 'resnet18.pth')!r}]))\n"
    )
    return [words[0], str(program)]


def finetune(trainer: list[str], page: Path, *options: str) -> list[str]:
    data = [] if "--data" in options else ["--data", str(page / "clips")]
    return [*trainer, "finetune", *data, "--cache", str(page / "cache"), "--progress", "json", *options]


def test_a_training_of_the_page_is_stopped_continued_and_gives_a_model(page: Path, trainer: list[str]) -> None:
    published: list[FinetuneState] = []
    job = FinetuneJob(page, trainer, published.append)
    try:
        job.start("bar")
        eventually(lambda: job.state.step == 2, PROGRAM_S, lambda: job.state)
        job.stop()
        stopped = eventually(lambda: job.state if job.state.state != "running" else None)
        assert stopped.state == "stopped", stopped.log
        assert list_models(page, ()) == ()
        job.start("bar")
        over = eventually(lambda: job.state if job.state.state != "running" else None, PROGRAM_S, lambda: job.state)
    finally:
        job.close()
    assert over.state == "done", over.log
    second = published[published.index(stopped) + 1 :]
    assert list(dict.fromkeys(state.step for state in second)) == [0, 1, 2, 3, 4]
    assert {state.of for state in second} == {0, 4}
    assert any(0 < state.done < state.total for state in second)
    assert any(line.startswith("3/4 model folder") for state in second for line in state.log)
    (model,) = list_models(page, ())
    assert (model.id, model.labels, model.background) == ("bar", ("background", "bar crosses"), ("background",))
    assert model.evaluated == sum(map(sum, model.confusion)) > 0
    assert model.top1.keys() == model.hop_ms.keys() >= {"fp32", "int8"}
    assert open_model(page / "models/bar").manifest.id == "bar"


def test_a_failure_is_the_last_line(page: Path, trainer: list[str], tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    line = finetune(trainer, page, "--data", str(tmp_path / "clips"), "--out", str(tmp_path / "own"))
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert done.stderr == ""
    *_, last = map(json.loads, done.stdout.splitlines())
    assert (last["kind"], last["status"]) == ("failed", 78)
    assert str(tmp_path / "clips") in last["text"]
    assert not (tmp_path / "own").exists()


def test_a_closed_pipe_ends_the_training(page: Path, trainer: list[str], tmp_path: Path) -> None:
    """As when the daemon that showed it is killed."""
    line = finetune(trainer, page, "--out", str(tmp_path / "own"))
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        while json.loads(process.stdout.readline())["kind"] != "step":
            pass
        process.stdout.close()
        process.wait(PROGRAM_S)
    assert not (tmp_path / "own").exists()
