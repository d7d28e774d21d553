"""What the handlers of the page share: the configuration, the hub, the worker for what takes time."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from edge_tdn.config.tables import Config
from edge_tdn.hub.hub import Hub
from edge_tdn.web.access import Admission
from edge_tdn.web.limits import DEFAULT_HTTP_LIMITS, HttpLimits

TEACHERS = 2  # threads: one may cut an action out of a clip, which takes seconds


def _worker() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "page work")


def _teachers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(TEACHERS, "page teaching")


@dataclass(frozen=True)
class PageContext:
    """Handed to `routes` of each module of handlers. Belongs to the thread `page`."""

    config: Config
    hub: Hub
    access: Admission
    limits: HttpLimits = DEFAULT_HTTP_LIMITS
    work: ThreadPoolExecutor = field(default_factory=_worker)  # pictures, histories, folders: one job at a time
    teaching: ThreadPoolExecutor = field(default_factory=_teachers)  # what is asked of teaching
    closing: asyncio.Event = field(default_factory=asyncio.Event)  # set when the page ends: streams must end, too
