"""The difference between two configurations, and what it changes in a running daemon. Pure.

A camera whose table is the same, but for its zones, keeps running. `host`, broker.base and [outbox] are what others
know the daemon by and where its events are, and [metrics] and [web] are where it can be reached: only a restart
changes these, and until then the old ones stay in force.
"""

from collections.abc import Collection
from dataclasses import dataclass

from edge_tdn.config.tables import Config

NETWORK_KEYS = ("runtime.model", "runtime.precision", "runtime.cache")  # that do not concern networks which are open


@dataclass(frozen=True)
class Changes:
    """The difference between the configuration that is served and the next. Cameras by name, keys as in the file."""

    added: tuple[str, ...]
    restarted: tuple[str, ...]  # their tables changed, their sources had failed, or their main streams come or go
    rezoned: tuple[str, ...]  # only their zones changed: they keep running
    removed: tuple[str, ...]
    keys: tuple[str, ...]  # all others that changed, with their tables
    later: tuple[str, ...]  # of these, what only a restart brings into force

    @property
    def leaving(self) -> tuple[str, ...]:
        """The cameras that have to be stopped."""
        return self.restarted + self.removed

    @property
    def connection(self) -> bool:
        """The broker has to be connected again."""
        return any(key.startswith("broker.") and key not in ("broker.scores", *self.later) for key in self.keys)

    @property
    def runtime(self) -> bool:
        """The same networks have to run in another way."""
        return any(key.startswith("runtime.") and key not in NETWORK_KEYS for key in self.keys)

    @property
    def recorders(self) -> bool:
        """Recorders have to be replaced. An action's minimum length decides how long they keep frames."""
        return any(key.startswith("record.") or key == "decide.min_length_s" for key in self.keys)

    def __str__(self) -> str:
        parts = {
            "cameras added": self.added,
            "cameras restarted": self.restarted,
            "zones changed of": self.rezoned,
            "cameras removed": self.removed,
            "changed": tuple(key for key in self.keys if key not in self.later),
        }
        return "; ".join(f"{what}: {', '.join(names)}" for what, names in parts.items() if names) or "no change"


def changes(running: Config, new: Config, failed: Collection[str] = (), pending: Config | None = None) -> Changes:
    """Return what has to be done to serve `in_force(running, new)`. `failed`: cameras that do not play any more.

    `pending`: a configuration that an earlier reload failed to bring into force. Except for its cameras, any part of it
    may be in force.
    """
    possible = (running, pending or running)
    before, after = (
        {camera.name: camera.model_dump(exclude={"zone"}) for camera in one.camera} for one in (running, new)
    )
    zones, new_zones = ({camera.name: camera.zone for camera in one.camera} for one in (running, new))
    # a main stream plays only while it is recorded
    recording = any(one.record.enabled != new.record.enabled for one in possible)
    keys = tuple(key for key, value in _flat(new).items() if any(value != _flat(one)[key] for one in possible))
    restarted = tuple(
        name
        for name, table in after.items()
        if name in before and (name in failed or before[name] != table or (recording and table["record_source"]))
    )
    return Changes(
        added=tuple(name for name in after if name not in before),
        restarted=restarted,
        rezoned=tuple(
            name for name in after if name in before and name not in restarted and zones[name] != new_zones[name]
        ),
        removed=tuple(name for name in before if name not in after),
        keys=keys,
        later=tuple(
            key for key in keys if key in ("host", "broker.base") or key.startswith(("outbox.", "metrics.", "web."))
        ),
    )


def in_force(running: Config, new: Config) -> Config:
    """Return `new`, but with what only a restart changes taken from `running`."""
    broker = new.broker.model_copy(update={"base": running.broker.base})
    return new.model_copy(
        update={
            "host": running.host,
            "outbox": running.outbox,
            "metrics": running.metrics,
            "web": running.web,
            "broker": broker,
        }
    )


def _flat(config: Config) -> dict[str, object]:
    """Return key -> value, without the cameras."""
    tables = config.model_dump(exclude={"camera"})
    return {
        f"{name}.{key}" if isinstance(table, dict) else name: value
        for name, table in tables.items()
        for key, value in (table.items() if isinstance(table, dict) else [(name, table)])
    }
