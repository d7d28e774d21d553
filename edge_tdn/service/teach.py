"""Teaching by the page: joins the recorder, the list of clips, the training, the models and the trial of one."""

import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from edge_tdn.config.tables import Config
from edge_tdn.errors import EdgeTdnError
from edge_tdn.hub.hub import Hub
from edge_tdn.hub.teaching_access import (
    FinetuneState,
    MissingPart,
    RecordRequest,
    RecordState,
    TakeOver,
    TaughtClass,
    TaughtClip,
    TeachingOverview,
    TeachingRefused,
    TrialRequest,
    TrialState,
)
from edge_tdn.media import gstreamer
from edge_tdn.media.mp4_length import mp4_length_s
from edge_tdn.media.outline import Outline
from edge_tdn.messages import ActionEvent, iso
from edge_tdn.process.passwords import without_password
from edge_tdn.process.state_folder import state_folder
from edge_tdn.recording.open_recorder import records_main_stream
from edge_tdn.recording.recordings import MB, OURS
from edge_tdn.service.camera import Camera
from edge_tdn.service.camera_settings import ZoneSettings
from edge_tdn.service.finetune_job import FinetuneJob
from edge_tdn.service.models_folder import find_trainer, list_models, take_over, training_command
from edge_tdn.service.running import Running
from edge_tdn.service.teach_recorder import RecorderJob, TeachRecorder
from edge_tdn.service.trial import Trial
from edge_tdn.spelling import nearest
from edge_tdn.teaching.class_folder import describe_recording
from edge_tdn.teaching.clip_cutter import RecordingPlan, clip_path
from edge_tdn.teaching.clip_list import ClipList, ListedClip, checked_label, classes, missing
from edge_tdn.teaching.labelled import RecordedAction, cut_action, widened
from edge_tdn.teaching.sessions import ClipNumbers, hour_session
