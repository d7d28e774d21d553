"""The models of the page: the list of them, the link to the one that serves, and how it is taken over."""

import json
import os
import shutil
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_tdn.config.load import load
from edge_tdn.errors import ConfigError
from edge_tdn.hub.teaching_access import TeachingRefused
from edge_tdn.manifest import Model
from edge_tdn.service import reload
from edge_tdn.service.daemon import Daemon
from edge_tdn.service.models_folder import (
    current_model,
    find_trainer,
    how_to_take_over,
    list_models,
    model_folder,
    point_current,
    take_over,
    training_command,
)
from tests.support.model_folders import renamed_copy
from tests.support.waiting import eventually


def figures(top1: float) -> dict[str, object]:
    confusion = [[3, 1], [0, 4]]
    return {"videos": 8, "top1": top1, "top5": 1.0, "mean_class_accuracy": top1, "classes": [], "confusion": confusion}


REPORT = {
    "schema": 1,
    "notes": ["record longer ones"],
    "run": {"anything": None},
    "results": {"fp32": figures(0.875), "int8": figures(0.75)},
    "hop_ms": {"fp32": 21.5, "int8": 12.0},
}


def add_model(page: Path, model_id: str, labels: dict[str, str] | None = None, report: object = REPORT) -> Path:
    """Copy the shipped model into the page's folder. `labels`: that are renamed."""
    folder = renamed_copy(page / "models" / model_id, model_id, labels or {})
    (folder / "finetune.json").write_text(json.dumps(report))
    return folder


def test_models_are_listed_newest_first_with_their_figures(tmp_path: Path, motion: Model) -> None:
    for age, name in enumerate(("second", "first")):
        manifest = add_model(tmp_path, name) / "manifest.json"
        os.utime(manifest, (1_800_000_000 - age, 1_800_000_000 - age))
    point_current(tmp_path, "first")
    newest, oldest = list_models(tmp_path, {"0" * 64})
    assert (newest.id, oldest.id) == ("second", "first")
    assert (oldest.current, newest.current) == (True, False)
    assert newest.at == "2027-01-15T08:00:00.000Z"
    assert (newest.labels, newest.background) == (motion.labels, motion.manifest.background)
    assert (newest.evaluated, newest.top1) == (8, {"fp32": 0.875, "int8": 0.75})
    assert newest.hop_ms == {"fp32": 21.5, "int8": 12.0}
    assert newest.confusion == ((3, 1), (0, 4))
    assert newest.notes == ("record longer ones",)
    assert not newest.serving


def test_the_model_that_serves_is_marked_whatever_the_link_names(tmp_path: Path) -> None:
    from edge_tdn.manifest import open_model

    add_model(tmp_path, "one")
    add_model(tmp_path, "two")
    serving = open_model(tmp_path / "models/two").sha256
    assert {model.id: model.serving for model in list_models(tmp_path, {serving})} == {"one": False, "two": True}


@pytest.mark.parametrize("report", [None, [], {"results": {"fp32": {}}}, {"results": 3}])
def test_a_model_without_figures_is_listed_without_them(tmp_path: Path, report: object) -> None:
    """As one that was converted elsewhere and copied here."""
    folder = add_model(tmp_path, "one", report=report)
    (one,) = list_models(tmp_path, ())
    assert (one.evaluated, one.top1, one.confusion, one.notes) == (0, {}, (), ())
    (folder / "finetune.json").unlink()
    assert list_models(tmp_path, ()) == (one,)


def test_what_is_not_a_whole_model_is_not_listed(tmp_path: Path) -> None:
    assert list_models(tmp_path, ()) == ()
    (tmp_path / "models/one.run").mkdir(parents=True)
    (tmp_path / "models/.one-host-12").mkdir()
    (tmp_path / "models/a file").touch()
    (add_model(tmp_path, "no-labels") / "labels.txt").unlink()
    (add_model(tmp_path, "no-json") / "manifest.json").write_text("{")
    shutil.copytree(add_model(tmp_path, "good"), tmp_path / "models/good.run")
    assert [model.id for model in list_models(tmp_path, ())] == ["good"]


@pytest.mark.parametrize("name", ["", "..", "../clips", "none", "/etc", "good/../good", "good\0"])
def test_no_name_reaches_another_folder(tmp_path: Path, name: str) -> None:
    good = add_model(tmp_path, "good")
    assert model_folder(tmp_path, "good") == good
    with pytest.raises(TeachingRefused, match="there is no model"):
        model_folder(tmp_path, name)


def test_the_link_moves_in_one_step_and_with_the_folder(tmp_path: Path) -> None:
    page = tmp_path / "page"
    for name in ("one", "two"):
        add_model(page, name)
    assert current_model(page) is None
    point_current(page, "one")
    before = (page / "current").resolve()
    point_current(page, "two")
    assert (before.name, (page / "current").resolve().name, current_model(page)) == ("one", "two", "two")
    page.rename(moved := tmp_path / "moved")
    assert (moved / "current/manifest.json").is_file()
    assert {path.name for path in moved.iterdir()} == {"models", "current"}


def test_a_link_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    add_model(tmp_path, "one")
    (tmp_path / "current").mkdir()  # by hand, in place of the link
    with pytest.raises(TeachingRefused, match="current: "):
        point_current(tmp_path, "one")
    assert {path.name for path in tmp_path.iterdir()} == {"models", "current"}


def test_the_trainer_is_the_configured_one_or_that_of_this_environment(tmp_path: Path) -> None:
    (program := tmp_path / "edge-tdn-train").write_text("#!/bin/sh\n")
    assert find_trainer(str(program)) is None, "not executable"
    program.chmod(0o755)
    assert find_trainer(str(program)) == (str(program),)
    assert find_trainer("true") == (shutil.which("true"),)


@pytest.mark.parametrize("missing", ["", "torch", "edge_tdn_training"])
def test_a_trainer_of_this_environment_is_whole(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == missing else name)
    assert find_trainer("") == (None if missing else (sys.executable, "-P", "-m", "edge_tdn_training"))


def test_the_commands_for_another_computer_survive_a_shell(tmp_path: Path) -> None:
    fetch, train, back = training_command(tmp_path / "my page").splitlines()
    assert fetch.startswith("scp -r ")
    assert f"{tmp_path}/my page/clips'" in fetch
    assert train == "edge-tdn-train finetune --data clips --out models/NAME"
    assert back.startswith("scp -r models/NAME ")
    assert f"{tmp_path}/my page/models/'" in back


class TaughtSite:
    """A daemon with a demo camera, whose configuration names the link `current`, or another model."""

    def __init__(self, folder: Path, names_current: bool = True) -> None:
        self.folder, self.page = folder, folder / "page"
        add_model(self.page, "first")
        point_current(self.page, "first")
        model = "page/current" if names_current else "motion"
        self.path = folder / "site.toml"
        self.path.write_text(
            f'[broker]\nurl = "mqtt://127.0.0.1:1"\n[runtime]\nmodel = "{model}"\n[decide]\nonly = ["right"]\n'
            '[[camera]]\nname = "a"\nsource = "demo:"\nloop = true\n[outbox]\nfolder = "off"\n'
        )
        self.daemon = Daemon(load(self.path), folder, self.path)
        self._thread = threading.Thread(target=self.daemon.run, name="main loop")

    def __enter__(self) -> "TaughtSite":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.daemon.stop()
        self._thread.join()

    @property
    def running(self) -> Any:
        return self.daemon._running

    @property
    def config_status(self) -> Any:
        return self.daemon._reloader.status

    @property
    def served(self) -> str:
        """The id of the model that the camera's events name."""
        return self.daemon.cameras[0].zones[0].settings.origin.model.id

    def take_over(self, model_id: str) -> Any:
        return take_over(self.running, self.daemon._reloader.request, self.page, model_id)

    def clips(self) -> int:
        return self.daemon.cameras[0].status().clips


def test_a_click_makes_a_running_daemon_serve_another_model(tmp_path: Path) -> None:
    """One daemon: taken over; refused and put back; and it serves all the time."""
    with TaughtSite(tmp_path) as site:
        eventually(lambda: site.clips() > 2)
        assert site.served == "first"
        add_model(site.page, "second", {"left": "leftward"})
        how = site.take_over("second")
        assert (how.configured, how.model) == (True, str(site.page / "current"))
        eventually(lambda: site.served == "second")
        eventually(lambda: site.config_status.state == "in_force")
        clips = site.clips()
        eventually(lambda: site.clips() > clips + 2)
        serving = {network.model.sha256 for network in site.running.networks.all}
        marks = {model.id: (model.current, model.serving) for model in list_models(site.page, serving)}
        assert marks == {"first": (False, False), "second": (True, True)}

        add_model(site.page, "third", {"right": "rightward"})  # [decide] names `right`
        assert site.take_over("third").configured
        eventually(lambda: site.config_status.state == "refused")
        assert "right" in site.config_status.reason
        assert (current_model(site.page), site.served) == ("second", "second")

        damaged = add_model(site.page, "fourth")
        (damaged / "golden.npz").write_bytes(b"")
        with pytest.raises(TeachingRefused, match=r"fourth cannot be taken over: .*golden"):
            site.take_over("fourth")
        assert current_model(site.page) == "second"
        clips = site.clips()
        eventually(lambda: site.clips() > clips + 2)


def test_without_the_link_in_the_configuration_the_lines_for_it_are_shown(tmp_path: Path) -> None:
    with TaughtSite(tmp_path, names_current=False) as site:
        add_model(site.page, "second")
        how = site.take_over("second")
        assert not how.configured
        assert current_model(site.page) == "second"
        assert tomllib.loads(how.toml) == {"runtime": {"model": str(site.page / "current")}}
        assert how_to_take_over(site.running, site.page) == how
        assert not site.daemon._reloader.under_way
        text = site.path.read_text().replace('[runtime]\nmodel = "motion"\n', how.toml)
        site.path.write_text(text)
        site.daemon.reload()
        eventually(lambda: how_to_take_over(site.running, site.page).configured)
        assert site.served == "second"


def test_a_later_take_over_is_not_undone_by_the_refusal_of_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proceed, begun = threading.Event(), threading.Event()
    prepare = reload.prepare

    def refuse_once(path: Path, running: Any) -> Any:
        if begun.is_set():
            return prepare(path, running)
        begun.set()
        proceed.wait()
        raise ConfigError("refused once")

    with TaughtSite(tmp_path) as site:
        for name in ("second", "third"):
            add_model(site.page, name)
        monkeypatch.setattr("edge_tdn.service.reloader.prepare", refuse_once)
        site.take_over("second")
        begun.wait()
        site.take_over("third")
        proceed.set()
        eventually(lambda: site.served == "third")
        assert current_model(site.page) == "third"


@pytest.fixture(autouse=True)
def _no_threads_are_left() -> Iterator[None]:
    yield
    assert "main loop" not in {thread.name for thread in threading.enumerate()}
