"""Teaching by the page: joins the clips, the recorder, the training, the models and the trial of one."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edge_tdn.config.tables import Config
from edge_tdn.errors import EdgeTdnError
from edge_tdn.hub.hub import Hub
from edge_tdn.hub.teaching_access import (
    FinetuneState,
    RecordRequest,
    RecordState,
    TakeOver,
    TaughtClip,
    TaughtModel,
    TeachingOverview,
    TeachingRefused,
    TrialRequest,
    TrialState,
)
from edge_tdn.messages import ActionEvent
from edge_tdn.process.passwords import without_password
from edge_tdn.process.state_folder import state_folder
from edge_tdn.service import models_folder
from edge_tdn.service.finetune_job import FinetuneJob
from edge_tdn.service.running import Running
from edge_tdn.service.teach_clips import TeachClips
from edge_tdn.service.teach_recorder import TeachRecorder
from edge_tdn.service.trial import ModelTrial
from edge_tdn.teaching.clip_list import classes, missing

CLOSE_S = 0.3  # for the clip under way to be deleted when the daemon ends


def teaching_folder(config: Config, base: Path) -> Path:
    """Return the folder of clips and models. `base`: where relative paths start."""
    if config.web.label_folder:
        return base.absolute() / config.web.label_folder
    return (state_folder() / config.host / "page").absolute()


def open_teaching(running: Running, reload: models_folder.Reload, hub: Hub) -> "PageTeaching":
    """Return teaching for the page of a daemon. `reload`: see models_folder.py."""
    config = running.config
    folder = teaching_folder(config, running.shared.networks.base)
    trainer = models_folder.find_trainer(config.web.trainer)
    return PageTeaching(
        folder,
        running,
        reload,
        TeachRecorder(lambda state: hub.publish("record", state.json_bytes)),
        FinetuneJob(folder, trainer, lambda state: hub.publish("finetune", state.json_bytes)),
        ModelTrial(running, lambda state: hub.publish("trial", state.json_bytes)),
        trains=trainer is not None,
    )


class PageTeaching:
    """Teaching, as the page may ask for it; see Teaching. Any thread may use it: each part has a lock of its own."""

    def __init__(
        self,
        folder: Path,
        running: Running,
        reload: models_folder.Reload,
        recorder: TeachRecorder,
        finetune: FinetuneJob,
        trial: ModelTrial,
        trains: bool,
    ) -> None:
        """`folder`: of clips and models. `trains`: this host has a trainer."""
        self._folder, self._running, self._reload = folder, running, reload
        self._clips = TeachClips(folder, running)
        self._recorder, self._finetune, self._trial = recorder, finetune, trial
        self._trains = trains
        self._changing = threading.Lock()  # held while clips are moved, or one is cut: not by what only reads

    def overview(self) -> TeachingOverview:
        """Return all that the page shows."""
        with _refusals():
            clips = self._clips.list.clips()
            found = classes(clips)
            return TeachingOverview(
                trainer=self._trains,
                command=models_folder.training_command(self._folder),
                classes=tuple(found),
                missing=tuple(missing(found)),
                archive_bytes=sum(clip.bytes for clip in clips),
                record=self._recorder.state,
                finetune=self._finetune.state,
                models=self._models(),
                trial=self._trial.state,
                take_over=models_folder.how_to_take_over(self._running, self._folder),
            )

    def record(self, request: RecordRequest) -> RecordState:
        """Begin to record clips."""
        with self._changing, _refusals():
            if self._recorder.busy:
                raise TeachingRefused(f"{self._recorder.state.camera} is being recorded; stop that first")
            return self._recorder.start(self._clips.job(request))

    def stop_recording(self) -> RecordState:
        """Stop recording; the clip under way is deleted."""
        return self._recorder.stop()

    def clips(self, label: str | None = None) -> Sequence[TaughtClip]:
        """Return the clips of a class, None: of all; newest first."""
        with _refusals():
            return self._clips.clips(label)

    def clip_file(self, label: str, name: str) -> Path | None:
        """Return the file of a clip; None: there is none such."""
        return self._clips.list.file(label, name)

    def move(self, label: str, name: str, to: str | None) -> None:
        """Put a clip into another class; None: discard it."""
        with self._changing, _refusals():
            self._clips.list.move(label, name, to)

    def label_event(self, event: ActionEvent, label: str) -> TaughtClip:
        """Cut an action out of its recording, and put that into a class. `event`: its end."""
        with self._changing, _refusals():
            return self._clips.label_event(event, label)

    def folder(self) -> Path:
        """Return the folder of the clips."""
        return self._clips.list.folder

    def finetune(self, model: str) -> FinetuneState:
        """Begin to train a model of this id."""
        with _refusals():
            found = classes(self._clips.list.clips())
            if len(found) < 2 or all(one.background for one in found):
                raise TeachingRefused(" ".join(one.text for one in missing(found) if one.code.startswith("no_")))
            self._clips.check_room()
            return self._finetune.start(model)

    def stop_finetune(self) -> FinetuneState:
        """Stop the training; it can be continued."""
        return self._finetune.stop()

    def try_model(self, request: TrialRequest) -> TrialState:
        """Begin to try a model."""
        with _refusals():
            return self._trial.start(request, models_folder.model_folder(self._folder, request.model))

    def stop_trial(self) -> TrialState:
        """End the trial."""
        return self._trial.stop()

    def take_over(self, model: str) -> TakeOver:
        """Make a model the one that `current` names, and have the configuration read again."""
        with _refusals():
            return models_folder.take_over(self._running, self._reload, self._folder, model)

    def close(self) -> None:
        """End what is under way, in little time. Before the scheduler stops."""
        self._clips.close()
        self._recorder.close()
        self._finetune.close()
        self._trial.close()
        self._recorder.join(CLOSE_S)

    def _models(self) -> tuple[TaughtModel, ...]:
        serving = {network.ref.sha256 for network in self._running.networks.all}
        return models_folder.list_models(self._folder, serving)


@contextmanager
def _refusals() -> Iterator[None]:
    """Raise what a person can cause or fix as TeachingRefused."""
    try:
        yield
    except TeachingRefused:
        raise
    except EdgeTdnError as error:
        raise TeachingRefused(without_password(str(error))) from error
