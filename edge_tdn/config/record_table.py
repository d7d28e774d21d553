"""The table of the configuration that concerns recordings."""

from typing import Self

from pydantic import Field, model_validator

from edge_tdn.config.table import ConfigTable


class RecordConfig(ConfigTable):
    """[record]: snapshots and clips of actions."""

    snapshot: bool = Field(default=False, description="publish a JPEG of every action, and save it if folder is set")
    clip: bool = Field(default=False, description="save an MP4 of every action; needs a folder and GStreamer")
    folder: str = Field(default="", description="folder for the files, relative to this file; empty: none are written")
    max_mb: int = Field(default=1000, ge=1, description="MB of files, all cameras together; the oldest are deleted")
    min_free_mb: int = Field(
        default=500,
        ge=0,
        description="MB of the disk that stay free; the oldest files are deleted, then none is written",
    )
    pre_roll_s: float = Field(default=3.0, ge=0, le=30, description="seconds of a clip before the action's start")
    post_roll_s: float = Field(default=3.0, ge=0, le=30, description="seconds of a clip after the action's end")
    max_clip_s: float = Field(
        default=60.0, ge=1, le=600, description="maximum length of a clip, seconds; above pre_roll_s"
    )
    memory_mb: int = Field(
        default=80, ge=8, le=4096, description="MB of buffered frames per camera; above it the frame rate is reduced"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.clip and not self.folder:
            raise ValueError("clip needs a folder to write to")
        if self.max_clip_s <= self.pre_roll_s:
            raise ValueError(
                f"max_clip_s {self.max_clip_s} is not above pre_roll_s {self.pre_roll_s}; a clip would end before "
                "its action starts"
            )
        return self

    @property
    def enabled(self) -> bool:
        return self.snapshot or self.clip
