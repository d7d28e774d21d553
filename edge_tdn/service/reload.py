"""What a configuration that is read again changes in a running daemon. Pure: two configurations -> the difference.

A camera whose table is the same plays on. `host`, broker.base and [outbox] are what others know the daemon by and where
its events are, and [metrics] is where it is asked: these only a restart changes, and until then the old ones stay.
"""

from collections.abc import Collection
from dataclasses import dataclass

from edge_tdn.config.tables import Config


@dataclass(frozen=True)
class Changes:
    """From the configuration that is served to the next. Cameras by name, keys as they stand in the file."""

    added: tuple[str, ...]
    restarted: tuple[str, ...]  # their tables have changed, their sources had failed, their main streams come or go
    removed: tuple[str, ...]
    keys: tuple[str, ...]  # others, with their tables
    later: tuple[str, ...]  # of these, what only a restart brings into force

    @property
    def leaving(self) -> tuple[str, ...]:
        """Cameras that are stopped."""
        return self.restarted + self.removed

    @property
    def connection(self) -> bool:
        """To the broker: it has to be another."""
        return any(key.startswith("broker.") and key not in ("broker.scores", *self.later) for key in self.keys)

    @property
    def runtime(self) -> bool:
        """The same model would run in another way."""
        return any(key.startswith("runtime.") and key not in ("runtime.model", "runtime.cache") for key in self.keys)

    @property
    def recorders(self) -> bool:
        """They have to begin anew. How long an action has to last is how long they must remember its start."""
        return any(key.startswith("record.") or key == "decide.min_length_s" for key in self.keys)

    def __str__(self) -> str:
        parts = {
            "cameras added": self.added, "cameras restarted": self.restarted, "cameras removed": self.removed,
            "changed": tuple(key for key in self.keys if key not in self.later),
        }  # fmt: skip
        return "; ".join(f"{what}: {', '.join(names)}" for what, names in parts.items() if names) or "no change"


def changes(running: Config, wanted: Config, failed: Collection[str] = (), half: Config | None = None) -> Changes:
    """What is to be done to serve `in_force(running, wanted)`. `failed`: cameras that do not play any more.

    `half`: what a reload before this one failed to bring into force; but for the cameras, any of it may be.
    """
    perhaps = (running, half or running)
    before, after = ({camera.name: camera.model_dump() for camera in one.camera} for one in (running, wanted))
    # a main stream plays while there is somebody to record it
    recording = any(one.record.enabled != wanted.record.enabled for one in perhaps)
    keys = tuple(key for key, value in _flat(wanted).items() if any(value != _flat(one)[key] for one in perhaps))
    return Changes(
        added=tuple(name for name in after if name not in before),
        restarted=tuple(
            name
            for name, table in after.items()
            if name in before and (name in failed or before[name] != table or (recording and table["record_source"]))
        ),
        removed=tuple(name for name in before if name not in after),
        keys=keys,
        later=tuple(key for key in keys if key in ("host", "broker.base") or key.startswith(("outbox.", "metrics."))),
    )


def in_force(running: Config, wanted: Config) -> Config:
    """`wanted`, but for what only a restart changes."""
    broker = wanted.broker.model_copy(update={"base": running.broker.base})
    return wanted.model_copy(
        update={"host": running.host, "outbox": running.outbox, "metrics": running.metrics, "broker": broker}
    )


def _flat(config: Config) -> dict[str, object]:
    """Key -> value, of all but the cameras."""
    tables = config.model_dump(exclude={"camera"})
    return {
        f"{name}.{key}" if isinstance(table, dict) else name: value
        for name, table in tables.items()
        for key, value in (table.items() if isinstance(table, dict) else [(name, table)])
    }
