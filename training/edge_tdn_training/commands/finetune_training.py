"""Fine-tuning by training all layers: step 2 of `edge-tdn-train finetune` from a model that knows motion."""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from edge_tdn_export.network import checkpoint
from edge_tdn_export.progress import begin_step
from rich.console import Console

from edge_tdn.manifest import WEIGHTS
from edge_tdn_training.commands.finetune_data import prepare_data
from edge_tdn_training.commands.finetune_plan import STEPS, FinetunePlan, TrainingStart
from edge_tdn_training.commands.finetuned import FinetunedModel, FinetunedNetwork
from edge_tdn_training.data.balance import balance
from edge_tdn_training.loop.distributed import distributed_context
from edge_tdn_training.loop.early_stopping import best_epoch, epochs_at_low_rate
from edge_tdn_training.loop.metrics import Metrics
from edge_tdn_training.loop.run_folder import CURVES, RUN
from edge_tdn_training.loop.task import TrainingTask
from edge_tdn_training.loop.trainer import train
from edge_tdn_training.options.finetune import TOTAL_CLIPS
from edge_tdn_training.training_config import TrainingConfig

EPOCHS = (6, 80)  # fewest and most without --epochs
MIN_PATIENCE = 3  # epochs without improvement after which the training ends


def train_all_layers(plan: FinetunePlan, start: TrainingStart, console: Console) -> FinetunedModel:
    """Decode the videos, and train the start's network, or resume the run beside the model folder."""
    begin_step(console, 1, STEPS, "videos")
    data = prepare_data(plan, start.spec, start.notes, console)
    clips = balance(data.train, start.spec.video_frames)
    config = _fitted(start, len(clips.frames))
    begin_step(
        console,
        2,
        STEPS,
        f"training: at most {config.epochs} epochs of {len(clips.frames)} clips; each is evaluated on "
        f"{len(data.held_out.frames)} held-out clips",
    )
    task = TrainingTask(start.initial, start.spec, clips, data.held_out, config)
    patience = max(MIN_PATIENCE, config.epochs // 4)
    with distributed_context(start.device) as context:
        micro_batch = context.micro_batch(config.batch, start.max_micro_batch)
        metrics = train(task, plan.run_folder, context, micro_batch, start.workers, patience)
    console.print(f"  {best_epoch_note(metrics)}")
    weights = plan.run_folder / WEIGHTS
    source = (("file", f"{plan.run_folder.name}/{WEIGHTS}"), ("sha256", checkpoint.sha256(weights)))
    return FinetunedModel(
        networks=(FinetunedNetwork(start.initial.model.to("cpu").float(), source),),
        spec=start.spec,
        data=data,
        record=json.loads((plan.run_folder / RUN).read_bytes()),
        curves=(plan.run_folder / CURVES).read_bytes(),
    )


def _fitted(start: TrainingStart, clips: int) -> TrainingConfig:
    """Return the settings for an epoch of that many clips."""
    epochs = start.epochs or int(np.clip(round(TOTAL_CLIPS / clips), *EPOCHS))
    batch = min(start.config.batch, clips)
    return replace(start.config, epochs=epochs, warm_up_epochs=min(1.0, epochs / 4), batch=batch)


def best_epoch_note(metrics: Sequence[Metrics]) -> str:
    """Return a line that names the epoch whose weights are used, and why."""
    since = " since the learning rate fell" if epochs_at_low_rate(metrics) else ""
    return f"best epoch: {best_epoch(metrics) + 1} of {len(metrics)}, with the lowest held-out loss{since}"
