"""Which cameras' clips the one runtime computes next, and what is shed when it cannot keep up.

Cameras take turns; as many go through together as the runtime has profit of. A turn encodes every segment that waits
and then classifies once per camera, the newest clip: when the host is too slow, more segments wait at each turn and
every camera's hop grows, in whole segments. Nothing queues up: at most T segments wait per camera, since older ones
could no longer be part of a clip.

A still scene costs no inference (see gate.py). The first clip that is still from end to end is computed; after it its
scores are repeated, and segments stay unencoded until one moves. Then those of the last T are encoded, so that every
clip with something moving in it is the one that would have been computed anyway.

Another runtime takes this one's place between two turns (`exchange`). Its features are others: what the cameras'
windows hold is encoded anew, beside the turns, so that every camera's next clip comes when it would have come.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from itertools import zip_longest
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_tdn.inference.runtime import Ring, Runtime
from edge_tdn.manifest import InputSpec
from edge_tdn.messages import NS_PER_S, EndReason, Scores, Segment
from edge_tdn.process import heartbeat
from edge_tdn.process.log import RateLimitedLog

log = logging.getLogger(__name__)

RECENT = 20  # hops that say whether the host keeps up
LATE = 3  # of these, and it does not
WAITED = 0.75  # of a segment's length: who waits so long waits for the runtime, not for a burst of the camera's
EXCHANGE_S = 60.0  # how long the newest segments of all cameras may take to be encoded for another runtime
LOG_EVERY_S = 10.0  # that the host is too slow, or not any more, is mentioned this often

Item = Segment | EndReason  # what a camera submits
Element = TypeVar("Element")


class Pace:
    """Does the host keep up with one camera? Its last hops say it, so that one hiccup is none."""

    def __init__(self, hop: int, spec: InputSpec) -> None:
        self._hop = hop
        self._segment_ns = NS_PER_S * spec.segment_s
        self._recent: deque[tuple[int, bool]] = deque(maxlen=RECENT)  # segments; was it late
        self.verdict = ""  # empty while it does

    def push(self, hop: int, waited_ns: int) -> None:
        """A clip came `hop` segments after the one before; the oldest in its turn had waited so long."""
        self._recent.append((hop, hop > self._hop and waited_ns > WAITED * self._segment_ns))
        late = sum(late for _, late in self._recent)
        if late < (1 if self.verdict else LATE):
            self.verdict = ""
            return
        mean = sum(hop for hop, _ in self._recent) / len(self._recent)
        self.verdict = f"host too slow: a clip every {round(mean, 1):g} segments instead of {self._hop}"

    def clear(self) -> None:
        """What was is no measure of what comes."""
        self._recent.clear()
        self.verdict = ""


class Lane:
    """One camera at the runtime: its ring, the segments that wait, and what is told when a clip is scored or broken."""

    def __init__(
        self,
        ring: Ring,
        spec: InputSpec,
        hop: int,
        scored: Callable[[Scores], None],
        broken: Callable[[EndReason], None],
    ) -> None:
        self.ring = ring
        self._spec = spec
        self._hop = hop
        self._scored, self._broken = scored, broken
        self._window: deque[Segment] = deque(maxlen=spec.segments)
        self._unencoded = 0  # of the window's segments, the newest that are not in the ring yet
        self._still: NDArray[np.float32] | None = None  # logits to repeat: the scene has been still for a whole clip
        self._since = 0  # segments since the last clip, or since the stretch began
        self._missed = 0  # of these, segments that were shed while they waited
        self._classified = False  # a clip of this stretch
        self._waited_ns = 0  # how long the oldest segment of the last turn waited
        self.waiting: list[Item] = []
        self._dropped = 0  # segments that were let go while they waited; the camera's thread counts
        self._grown = 0  # segments by which hops grew; the runtime's thread counts
        self.gated = 0  # clips of a still scene, whose scores were repeated
        self.achieved_hop = 0  # segments between the last two clips
        self.pace = Pace(hop, spec)

    def put(self, item: Item) -> None:
        """Called under the scheduler's lock."""
        if isinstance(item, str) and self.waiting and isinstance(self.waiting[-1], str):
            return  # nothing came between: it is broken already
        self.waiting.append(item)
        segments = [i for i in self.waiting if isinstance(i, Segment)]
        if len(segments) > self._spec.segments:
            self.waiting.remove(segments[0])
            self._dropped += 1

    def window(self) -> list[Segment]:
        """The segments of the next clip, oldest first. May be called from any thread."""
        return list(self._window.copy())

    def move(self, ring: Ring) -> None:
        """To another runtime's ring, which has the window's segments already. What is still is computed once more."""
        self.ring, self._unencoded, self._still = ring, 0, None

    @property
    def shed(self) -> int:
        """Segments that got no clip of their own because the host was too slow."""
        return self._dropped + self._grown

    @property
    def resting(self) -> bool:
        """What waits costs no inference."""
        return self._still is not None and all(isinstance(item, Segment) and item.still for item in self.waiting)

    def take(self, segments: Sequence[Segment], taken_ns: int) -> None:
        """The window moves on. A clip that is due while the scene is still has its scores at once."""
        for segment in segments[:1]:
            self._waited_ns = taken_ns - segment.ready_ns
        for segment in segments:
            self._follow(segment)
            if not segment.still:
                self._still = None
            self._window.append(segment)
            self._unencoded = min(self._unencoded + 1, self._spec.segments)
            self._since += 1
        if self._still is not None and self.due:
            self.gated += 1
            self.tell(self._still, taken_ns, repeated=True)

    def drain(self) -> list[Segment]:
        """What the ring lacks, oldest first, to be encoded now. Of a still scene nothing yet."""
        if self._still is not None:
            return []
        first, self._unencoded = len(self._window) - self._unencoded, 0
        return list(self._window)[first:]

    @property
    def due(self) -> bool:
        """The window is a clip that wants scores."""
        return self.ring.full and self._since >= self._hop

    def tell(self, logits: NDArray[np.float32], taken_ns: int, repeated: bool = False) -> None:
        """The window's clip has been scored, or has the scores of the clip before. logits [classes]."""
        newest = self._window[-1]
        if self._classified:
            self.achieved_hop = self._since
            self._grown += max(0, self._since - self._missed - self._hop)
            self.pace.push(self._since, self._waited_ns)
        self._classified = True
        self._since = self._missed = 0
        self._still = logits if all(segment.still for segment in self._window) else None
        self._scored(
            Scores(
                logits=logits,
                from_ns=self._window[0].from_ns,
                newest_ns=newest.from_ns,
                to_ns=newest.to_ns,
                wall_ns=newest.wall_ns,
                frames=len(self._window) * self._spec.frames,
                dropped=sum(segment.dropped for segment in self._window),
                received_ns=newest.received_ns,
                ready_ns=newest.ready_ns,
                taken_ns=taken_ns,
                scored_ns=time.monotonic_ns(),
                repeated=repeated,
            )
        )

    def break_off(self, reason: EndReason) -> None:
        """The stream broke behind what was taken."""
        self._begin_stretch()
        self._broken(reason)

    def _follow(self, segment: Segment) -> None:
        """No clip spans a jump in the grid."""
        missed = segment.index - self._window[-1].index - 1 if self._window else 0
        if missed < 0:  # the grid began anew
            self._begin_stretch()
        elif missed:  # shed in `put`: the hop has grown by them
            self._forget()
            self._since += missed
            self._missed += missed

    def _begin_stretch(self) -> None:
        self._forget()
        self.pace.clear()
        self._since, self._missed, self._classified = 0, 0, False

    def _forget(self) -> None:
        self.ring.clear()
        self._window.clear()
        self._unencoded, self._still = 0, None


def compute(runtime: Runtime, work: Sequence[tuple[Lane, Sequence[Item]]]) -> None:
    """One turn: of several lanes what waited. Breaks are told in their place between the segments.

    What stands before every lane's first break goes through together, then what stands before its second.
    """
    taken_ns = time.monotonic_ns()
    for pieces in zip_longest(*(_pieces(items) for _, items in work)):
        together = [(lane, *piece) for (lane, _), piece in zip(work, pieces, strict=True) if piece]
        for lane, segments, _ in together:
            lane.take(segments, taken_ns)
        _encode(runtime, [lane for lane, _, _ in together])
        for lanes in _batches([lane for lane, _, _ in together if lane.due], runtime.batch):
            heartbeat.beat()
            for lane, logits in zip(lanes, runtime.classify([lane.ring for lane in lanes]), strict=True):
                lane.tell(logits, taken_ns)
        for lane, _, reason in together:
            if reason is not None:
                lane.break_off(reason)


def _pieces(items: Sequence[Item]) -> Iterator[tuple[list[Segment], EndReason | None]]:
    """Segments up to a break, and the break; None where there is none behind the last."""
    segments: list[Segment] = []
    for item in items:
        if isinstance(item, Segment):
            segments.append(item)
        else:
            yield segments, item
            segments = []
    if segments:
        yield segments, None


def _encode(runtime: Runtime, lanes: Sequence[Lane]) -> None:
    for pairs in _batches([(lane.ring, segment) for lane in lanes for segment in lane.drain()], runtime.batch):
        heartbeat.beat()
        runtime.encode([segment.frames for _, segment in pairs], [ring for ring, _ in pairs])


def _batches(whole: Sequence[Element], size: int) -> Iterator[Sequence[Element]]:
    for first in range(0, len(whole), size):
        yield whole[first : first + size]


class Successor:
    """A runtime that is to take another's place, and in its rings what the cameras' windows hold."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.rings: dict[Lane, Ring] = {}
        self._newest: dict[Lane, Segment] = {}  # of what is in the ring

    def catch_up(self, lanes: Sequence[Lane]) -> None:
        """Encodes what has come since the last time, and forgets what is over. Used by one thread at a time."""
        for lane in lanes:
            window = lane.window()
            if lane not in self.rings:
                self.rings[lane] = self.runtime.ring()
            ring = self.rings[lane]
            newest = self._newest.get(lane)
            first = next((n for n, segment in enumerate(window, 1) if segment is newest), 0)
            if not first:
                ring.clear()
            for segment in window[first:]:
                self.runtime.encode([segment.frames], [ring])
                self._newest[lane] = segment


class Scheduler:
    """The runtime thread."""

    def __init__(self, runtime: Runtime, spec: InputSpec, failed: Callable[[BaseException], None]) -> None:
        self._runtime, self._spec, self._failed = runtime, spec, failed
        self._lanes: list[Lane] = []  # the one whose last turn is longest ago is in front
        self._changed = threading.Condition()
        self._stopping = self._ended = False
        self._errands: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._slow, self._paces = False, RateLimitedLog(log, LOG_EVERY_S)
        self._thread = threading.Thread(target=self._run, name="runtime")

    def lane(self, hop: int, scored: Callable[[Scores], None], broken: Callable[[EndReason], None]) -> Lane:
        """A place for one camera. `scored` and `broken` are called on the runtime thread."""
        lane = Lane(self._runtime.ring(), self._spec, hop, scored, broken)
        with self._changed:
            self._lanes.append(lane)
        return lane

    def leave(self, lane: Lane) -> None:
        """Its camera is gone: the breaks that wait are told, then it has no more turns. On the runtime thread."""
        with self._changed:
            breaks = [item for item in lane.waiting if isinstance(item, str)]
            self._lanes = [one for one in self._lanes if one is not lane]
        for reason in breaks:
            lane.break_off(reason)

    def between_turns(self, errand: Callable[[], None]) -> None:
        """Has the runtime thread do this, and waits until it is done. Raises what it raises.

        CancelledError: the thread ended before.
        """
        done: Future[None] = Future()
        with self._changed:
            if self._ended:
                raise CancelledError
            self._errands.append((errand, done))
            self._changed.notify()
        done.result()

    def exchange(self, successor: Successor, spec: InputSpec, meanwhile: Callable[[], None]) -> None:
        """Another runtime from the next turn on; waits until it is so. `meanwhile` is called on the runtime thread.

        With another `spec`, lanes have to leave and to come anew in `meanwhile`: their windows are of no use. If
        the new runtime fails in its first segments, or `meanwhile` does, nothing has changed, and what was raised is
        raised here.
        """
        keep = spec == self._spec

        def exchange() -> None:
            before = self._runtime, self._spec, list(self._lanes)
            if keep:
                with heartbeat.patience(EXCHANGE_S):
                    successor.catch_up(self._lanes)
            self._runtime, self._spec = successor.runtime, spec
            try:
                meanwhile()
            except BaseException:
                self._runtime, self._spec, self._lanes = before
                raise
            for lane in self._lanes if keep else ():
                lane.move(successor.rings[lane])

        for _ in range(2 if keep else 0):  # the first takes long; what has come meanwhile, the second does not
            successor.catch_up(self._lanes)
        self.between_turns(exchange)

    def submit(self, lane: Lane, item: Item) -> None:
        """A segment to compute, or a break in the stream. Never blocks."""
        with self._changed:
            lane.put(item)
            self._changed.notify()

    def start(self) -> None:
        self._thread.start()

    def stop(self, drop: bool, timeout_s: float | None = None) -> bool:
        """Ends the thread when nothing waits. `drop`: segments that wait are given up; breaks are told in any case.

        False: it has not ended within `timeout_s`.
        """
        with self._changed:
            self._stopping = True
            for lane in self._lanes if drop else ():
                lane.waiting = [item for item in lane.waiting if isinstance(item, str)]
            self._changed.notify()
        if self._thread.ident is not None:  # it was started
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @heartbeat.beating()
    def _run(self) -> None:
        try:
            while self._wait():
                self.turn()
        except BaseException as error:  # the thread must not die unseen: the daemon stops and says why
            log.exception("runtime thread failed")
            self._failed(error)
        finally:
            with self._changed:
                self._ended = True
            for _, done in self._errands:
                done.cancel()

    def turn(self) -> None:
        """On the runtime thread: errands, and one turn of computing."""
        self._do_errands()
        if work := self._next():
            compute(self._runtime, work)
            self._mention()

    def _wait(self) -> bool:
        """For something to do; False when stopping and all is done."""
        with self._changed:
            while not (todo := bool(self._errands or any(lane.waiting for lane in self._lanes))) and not self._stopping:
                self._changed.wait(heartbeat.beat_interval_s())
                heartbeat.beat()
            return todo

    def _do_errands(self) -> None:
        while self._errands:
            errand, done = self._errands.popleft()
            try:
                errand()
                done.set_result(None)
            except Exception as error:  # is whose who sent us
                done.set_exception(error)

    def _mention(self) -> None:
        """The log hears once that the host is too slow, and once that it is not any more."""
        verdicts = [lane.pace.verdict for lane in self._lanes if lane.pace.verdict]
        if bool(verdicts) == self._slow:
            return
        self._slow = bool(verdicts)
        if self._slow:
            hint = "fewer cameras, a larger hop or a faster precision would help"
            self._paces.log(logging.WARNING, "%s; %s", verdicts[0], hint)
        else:
            self._paces.log(logging.INFO, "the host keeps up again")

    def _next(self) -> list[tuple[Lane, list[Item]]]:
        """Who has the next turn, and what waits there.

        Still scenes cost nothing: they need not wait until it is their turn.
        """
        with self._changed:
            waiting = [lane for lane in self._lanes if lane.waiting]
            turn = [lane for lane in waiting if lane.resting]
            turn += [lane for lane in waiting if not lane.resting][: self._runtime.batch]
            self._lanes = [lane for lane in self._lanes if lane not in turn] + turn
            work = [(lane, lane.waiting) for lane in turn]
            for lane in turn:
                lane.waiting = []
            return work
