"""What the host says -> MQTT topics. One thread; what others hand over is only queued.

Events go through the outbox: they are on disk before they are sent, and leave it when the broker's PUBACK says that it
has them. At most a window of messages is on its way; what a lost connection left unanswered is sent again, from the
first on, by the next. What a topic's rules refuse stays, and is tried again while other topics go on. Retained messages
are kept here and sent at every connect, so that a broker that forgot them has them back.
"""

import json
import logging
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from edge_tdn.delivery.mqtt import (
    Acknowledged,
    Connected,
    Connection,
    Inbox,
    Link,
    Lost,
    Message,
    Note,
    Received,
    Unheard,
)
from edge_tdn.delivery.outbox.outbox import Entry, Outbox
from edge_tdn.delivery.stopwatch import Observe, Stopwatch
from edge_tdn.errors import ConfigError
from edge_tdn.messages import (
    ActionEvent,
    CameraStatus,
    DaemonStatus,
    Delivery,
    DeliveryState,
    OutboxStatus,
    Part,
    Reply,
    TopScores,
    iso,
)
from edge_tdn.process import heartbeat
from edge_tdn.process.log import RateLimitedLog

log = logging.getLogger(__name__)

WINDOW = 100  # messages sent and not yet acknowledged
TOGETHER = 500  # of what waits in the inbox, at most so much is stored in one transaction
TELL_S = 0.2  # the outbox hears of acknowledgements together, this often, or when half a window has come
DISK_S = 60.0  # a disk may take so long over one write: to be restarted over it would lose what waits in memory
TICK_S = 1.0  # how long the thread sleeps while nothing happens
AGAIN_S = (1.0, 30.0)  # a refused topic is tried again after so long; it doubles within these
GOODBYE_S = 1.0  # how long a clean stop waits for the last PUBACKs
HEADER_BYTES = 200  # of a message, at most: its properties and lengths
REPLAYS_MOST = 8  # commands that wait for their events
LARGE_BYTES = 16_384  # of a retained message: a picture, a long list of labels
IN_VAIN_MOST = 2  # connections that may end over one
SAID_EVERY_S = 1.0  # how it stands with the broker
SAME_EVERY_S = 60.0  # an oddity
JSON = "application/json"
ONLINE, STOPPED, OFFLINE = b"online", b"stopped", b"offline"


@dataclass
class _Replay:
    """Events to send again, and what is answered behind them."""

    camera: str
    from_seq: int
    to_seq: int
    answer: Reply
    next_seq: int
    sent: int = 0


@dataclass(frozen=True)
class _Announce:
    """Documents for a dashboard, and the topic on which it says that it has just started."""

    documents: Mapping[str, bytes]
    birth_topic: str


@dataclass
class _Refused:
    """A camera whose events the broker refuses."""

    why: str
    wait_s: float
    again_s: float  # monotonic seconds
    trying: bool = False  # one event is on its way, to see
    closing: bool = False  # the broker ended the connection over it


@dataclass(frozen=True)
class _Said:
    """What a connection tells."""

    line: "_Line"
    note: Note


@dataclass(frozen=True)
class _Line:
    """One connection's way into the inbox: what an earlier one still says is not taken for what this one does."""

    inbox: "queue.SimpleQueue[_Item]"

    def put(self, note: Note, /) -> None:
        self.inbox.put(_Said(self, note))


Connect = Callable[[Callable[[int], Message], Inbox], Connection]


@dataclass(frozen=True)
class _Reconnect:
    connect: Connect
    elsewhere: bool


_Item = ActionEvent | Message | _Said | _Replay | _Announce | _Reconnect | None


class Publisher:
    """Speaks for the host under `base`. `boot`: new with every start of the daemon.

    `connect` opens a connection with the last will and the inbox for its notes; `commanded` hears what arrives below
    <base>/cmd/, on the publisher's thread; `failed` hears what ends that thread too early; `observe` hears how long an
    event took to be sent ("publish") and then to be acknowledged ("puback").
    """

    def __init__(
        self,
        base: str,
        boot: str,
        outbox: Outbox,
        connect: Connect,
        failed: Callable[[BaseException], None],
        commanded: Callable[[str, bytes], None] = lambda topic, payload: None,
        observe: Observe | None = None,
    ) -> None:
        self._base, self._boot, self._outbox = base, boot, outbox
        self._failed, self._commanded = failed, commanded
        self._inbox: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._link: Link | None = None
        self._retained: dict[str, Message] = {}  # by topic, all of them
        self._unsent: dict[str, Message] = {}  # of these, what this connection has still to send
        self._large: dict[str, Message] = {}  # the same, of those that hold others up: last, one at a time
        self._in_vain: Counter[str] = Counter()  # connections that ended while it was on its way, by topic
        self._answers: deque[Message | _Replay] = deque()
        self._on_their_way: dict[int, Entry | Message] = {}  # by packet id
        self._behind = 0  # number of the last event that this connection has sent
        self._generation = 0  # of the outbox, when that was so
        self._refused: dict[str, _Refused] = {}  # by camera
        self._taken = False  # the broker has acknowledged an event of this connection
        self._careful = False  # not of the last one either: events go one by one, to see which it ends over
        self._denied: dict[str, tuple[Message, str]] = {}  # retained ones, by topic, and why
        self._again_s = 0.0  # monotonic seconds: when they are tried again
        self._acknowledged: list[Entry] = []
        self._told_s = 0.0  # monotonic seconds: when the outbox last heard of them
        self._announced: _Announce | None = None
        self._states, self._oddities = RateLimitedLog(log, SAID_EVERY_S), RateLimitedLog(log, SAME_EVERY_S)
        self._stopwatch = Stopwatch(observe)
        self._told = False  # the broker has had our status
        self._replaced = 0  # times that another boot's was found there since
        self._numbered: dict[str, int] = {}  # by camera, its last event that was handed over
        self._ending = False
        self._moving: _Reconnect | None = None
        self._leaving = False
        self._sessions_before = 0  # those of earlier connections
        self.session = self.connects = 0
        self.delivery = Delivery(state="connecting", reason="", since=iso(time.time_ns()))
        self._line = _Line(self._inbox)
        self._connection = connect(self._will, self._line)
        self._thread = threading.Thread(target=self._run, name="publisher")

    def start(self) -> None:
        self._thread.start()

    @property
    def connected(self) -> bool:
        return self._link is not None

    def last_seq(self, camera: str) -> int:
        """The number of the camera's last event, also before this start; 0 if it never had one."""
        return max(self._outbox.last_seq(camera), self._numbered.get(camera, 0))

    @property
    def outbox_status(self) -> OutboxStatus:
        return self._outbox.status()

    def event(self, event: ActionEvent) -> None:
        self._numbered[event.camera] = event.seq
        self._stopwatch.decided(event.camera, event.seq)
        self._inbox.put(event)

    def action(self, camera: str, label: str | None) -> None:
        """The label that is going on now, for dashboards."""
        self._inbox.put(Message(f"{self._base}/{camera}/action", (label or "none").encode(), retain=True))

    def snapshot(self, camera: str, jpeg: bytes) -> None:
        """The picture of the camera's newest action; an empty one takes it from the broker."""
        self._inbox.put(Message(f"{self._base}/{camera}/snapshot", jpeg, retain=True, content_type="image/jpeg"))

    def scores(self, scores: TopScores) -> None:
        if self.connected:
            self._inbox.put(replace(_json(f"{self._base}/{scores.camera}/scores", scores), qos=0))

    def camera_status(self, status: CameraStatus) -> None:
        self._inbox.put(_json(f"{self._base}/{status.camera}/status", status, retain=True))

    def daemon_status(self, status: DaemonStatus) -> None:
        self._inbox.put(_json(f"{self._base}/status", status, retain=True))

    def announce(self, documents: Mapping[str, bytes], birth_topic: str) -> None:
        """Retained JSON by topic, sent at every connect, and when `online` stands on `birth_topic`.

        It takes the place of what was announced before; topics that are not among these any more are cleared.
        """
        self._inbox.put(_Announce(documents, birth_topic))

    def reconnect(self, connect: Connect, elsewhere: bool) -> None:
        """Another connection takes this one's place. `elsewhere`: to another broker; this one hears a goodbye."""
        self._inbox.put(_Reconnect(connect, elsewhere))

    def reply(self, reply: Reply) -> None:
        self._inbox.put(_json(f"{self._base}/reply", reply))

    def replay(self, camera: str, from_seq: int, to_seq: int, answer: Reply) -> None:
        """Sends events again, marked as replayed; then the answer, with how many they were."""
        self._inbox.put(_Replay(camera, from_seq, to_seq, answer, from_seq))

    def stop(self) -> None:
        """Sends what waits, says `stopped`, and leaves; what the broker does not take in time stays in the outbox."""
        self._inbox.put(None)
        self._thread.join()
        self._connection.close()
        left = [self._inbox.get() for _ in range(self._inbox.qsize())]
        events = [item for item in left if isinstance(item, ActionEvent)]  # where the thread failed
        self._outbox.put([(event.camera, event.seq, event.json_bytes()) for event in events])
        if self._outbox.waiting:
            off = self._outbox.status().state == "off"
            fate = "are lost: they waited in memory alone" if off else "wait in the outbox for the next start"
            log.warning("stopping: %d events %s", self._outbox.waiting, fate)
        self._outbox.close()

    def _will(self, session: int) -> Message:
        return self._availability(OFFLINE, self._sessions_before + session)

    def _availability(self, state: bytes, session: int) -> Message:
        user = (("boot", self._boot), ("session", str(session)))
        return Message(f"{self._base}/availability", state, retain=True, user=user)

    # ------------------------------------------------------------------------------------------------- the thread

    @heartbeat.beating()
    def _run(self) -> None:
        try:
            while not self._ending:
                heartbeat.beat()
                self._take(self._patience_s())
                if self._moving and not self._ending:
                    self._move(self._moving)
                with heartbeat.patience(DISK_S):
                    self._outbox.tick()
                self._send()
                self._states.flush()
            self._leave()
        except BaseException as error:  # the thread must not die unseen: the daemon stops and says why
            log.exception("publisher thread failed")
            self._failed(error)

    def _take(self, patience_s: float) -> None:
        """What has come in, or nothing for a while."""
        try:
            items = [self._inbox.get(timeout=patience_s)]
        except queue.Empty:
            items = []
        while items and items[-1] is not None and len(items) < TOGETHER and not self._inbox.empty():
            items.append(self._inbox.get())
        events = [item for item in items if isinstance(item, ActionEvent)]
        if events:
            with heartbeat.patience(DISK_S):
                self._outbox.put([(event.camera, event.seq, event.json_bytes()) for event in events])
        for item in items:
            self._handle(item)
        self._tell_outbox(patient=bool(items))

    def _patience_s(self) -> float:
        now = time.monotonic()
        due = [refused.again_s for refused in self._refused.values() if not refused.trying and self._room > 0]
        if self._acknowledged:
            due.append(self._told_s + TELL_S)
        return min(TICK_S, max(0.0, min(due, default=now + TICK_S) - now))

    def _handle(self, item: _Item) -> None:
        match item:
            case None:
                self._ending = True
            case Message(qos=0):
                if self._link:
                    self._link.publish(item)
            case Message(retain=True):
                self._retained[item.topic] = item
                for waiting in (self._unsent, self._large):  # the one before is not wanted any more
                    waiting.pop(item.topic, None)
                (self._large if len(item.payload) > LARGE_BYTES else self._unsent)[item.topic] = item
            case Message():
                self._answers.append(item)
            case _Said(line, note):
                if line is self._line:
                    self._noted(note)
            case _Reconnect():
                self._moving = item
            case _Replay(answer=answer):
                if sum(isinstance(one, _Replay) for one in self._answers) < REPLAYS_MOST:
                    self._answers.append(item)
                else:
                    busy = {"ok": False, "error": f"busy: {REPLAYS_MOST} replays are waiting", "result": {}}
                    self._answers.append(_json(f"{self._base}/reply", answer.model_copy(update=busy)))
            case _Announce(documents):
                before, self._announced = self._announced, item
                for topic in before.documents.keys() - documents.keys() if before else ():
                    self._handle(Message(topic, b"", retain=True))
                for topic, document in documents.items():
                    message = Message(topic, document, retain=True, content_type=JSON)
                    if self._retained.get(topic) != message:
                        self._handle(message)
                if before is None or before.birth_topic != item.birth_topic:
                    self._listen()

    def _noted(self, note: Note) -> None:
        match note:
            case Connected(link):
                self._greet(link)
            case Lost(trouble, reason):
                self._lost(trouble, reason)
            case Acknowledged(mid, refused):
                self._answered(mid, refused)
            case Unheard(topic, reason):
                self._mention(topic, f"may not read {topic}: {reason}; what is said there is not heard")
            case Received():
                if not self._leaving:  # among others the echo of our goodbye
                    self._hear(note)

    def _move(self, wanted: _Reconnect) -> None:
        """What this connection leaves unacknowledged, the next one sends again.

        In between we are `offline`: who is let in no more could not say so.
        """
        self._moving = None
        self._leave(STOPPED if wanted.elsewhere else OFFLINE)
        self._connection.close()
        self._link, self._leaving = None, False
        self._on_their_way.clear()
        self._stopwatch.disconnected()
        self._sessions_before = self.session
        self._line = _Line(self._inbox)
        try:
            self._connection = wanted.connect(self._will, self._line)
            self._deliver("connecting", "")
        except ConfigError as error:  # its files were right a moment ago, and may be so again
            self._moving = self._moving or wanted
            self._deliver("tls", str(error))

    def _greet(self, link: Link) -> None:
        """Says that we are here, then all that is retained; then events from the first that waits."""
        self._link, self.session = link, self._sessions_before + link.session
        self.connects += 1
        self._on_their_way.clear()
        self._refused = {camera: refused for camera, refused in self._refused.items() if refused.closing}
        for refused in self._refused.values():  # the others first
            refused.again_s = time.monotonic() + refused.wait_s
        self._denied.clear()
        self._taken = False
        self._behind = 0
        self._unsent.clear()
        self._say_online()
        self._resend(large=False)
        self._listen()
        self._judge()

    def _say_online(self) -> None:
        online = self._availability(ONLINE, self.session)
        self._unsent[online.topic] = online

    def _listen(self) -> None:
        if self._link:
            for below in ("cmd/#", "availability", "status"):
                self._link.subscribe(f"{self._base}/{below}")
            if self._announced:
                self._link.subscribe(self._announced.birth_topic)

    def _lost(self, state: DeliveryState, reason: str) -> None:
        if self._link:
            self._suspect()
            for message in self._held_up():
                self._in_vain[message.topic] += 1
                if self._retained.get(message.topic) is not message:
                    continue  # there is a newer one, or none shall be there
                if self._in_vain[message.topic] < IN_VAIN_MOST:
                    self._large[message.topic] = message
                else:
                    self._mention(message.topic, f"{message.topic}: {len(message.payload)} bytes, given up: the line "
                                  "is too slow for it, or broker.keepalive_s too short")  # fmt: skip
        self._link = None
        self._on_their_way.clear()
        self._stopwatch.disconnected()
        self._answers.clear()
        self._deliver(state, reason)

    def _held_up(self) -> list[Message]:
        """Large messages on their way."""
        sent = self._on_their_way.values()
        return [one for one in sent if isinstance(one, Message) and one.retain and len(one.payload) > LARGE_BYTES]

    def _suspect(self) -> None:
        """Some brokers end the connection over a topic that they do not allow: other cameras shall not wait for it."""
        sent = [what for what in self._on_their_way.values() if isinstance(what, Entry)]
        tried = [entry for entry in sent if entry.camera in self._refused]
        if tried or (sent and self._careful and not self._taken):
            self._refuse(tried[0] if tried else sent[0], "the connection ended over it", closing=True)
        self._careful = bool(sent) and not self._taken

    def _answered(self, mid: int, refused: str | None) -> None:
        """A PUBACK."""
        self._stopwatch.answered(mid, refused)
        match self._on_their_way.pop(mid, None):
            case Entry() as entry:
                if refused:
                    self._refuse(entry, refused)
                    return
                self._taken, self._careful = True, False
                self._acknowledged.append(entry)
                if self._refused.pop(entry.camera, None):
                    self._behind = 0  # all of its events, from the first on
                    self._again_s = 0.0  # the rules have changed
                    self._judge()
            case Message(retain=True) as message:
                self._in_vain.pop(message.topic, None)
                if refused:
                    self._again_s = self._again_s if self._denied else time.monotonic() + AGAIN_S[1]
                    self._denied[message.topic] = message, refused
                    self._judge()
                    return
                self._told = self._told or message.topic == f"{self._base}/status"
                if not message.payload and self._retained.get(message.topic) is message:
                    del self._retained[message.topic]  # it is gone: the next connection has nothing to take away
                if self._denied.pop(message.topic, None):
                    self._again_s = 0.0
                    self._judge()
            case Message() as message:
                if refused:
                    self._mention(message.topic, f"{message.topic} was refused: {refused}")

    def _judge(self) -> None:
        """How it stands while there is a connection."""
        whys = {f"{self._base}/{camera}/events": refused.why for camera, refused in self._refused.items()}
        whys |= {topic: why for topic, (_, why) in self._denied.items()}
        if whys:
            topic, why = next(iter(whys.items()))
            more = f"; and {len(whys) - 1} more topics" if len(whys) > 1 else ""
            self._deliver("degraded", f"{topic} was refused: {why}{more}")
        else:
            self._deliver("connected", "")

    def _refuse(self, entry: Entry, why: str, closing: bool = False) -> None:
        before = self._refused.get(entry.camera)
        if before and not before.trying:
            return  # sent together with the one that was refused first
        wait_s = min(2 * before.wait_s, AGAIN_S[1]) if before else AGAIN_S[0]
        self._refused[entry.camera] = _Refused(why, wait_s, time.monotonic() + wait_s, closing=closing)
        self._judge()

    def _hear(self, received: Received) -> None:
        """Commands; and what somebody else says in our name."""
        if received.topic.startswith(f"{self._base}/cmd/"):
            if not received.retained:  # somebody's command of yesterday
                self._commanded(received.topic.removeprefix(f"{self._base}/cmd/"), received.payload)
        elif received.topic == f"{self._base}/availability":
            if received.payload != ONLINE and not received.retained and self._link:
                self._say_online()  # it was an older will, or a twin's goodbye
        elif received.topic == f"{self._base}/status":
            boot = _boot(received.payload)
            if boot in (None, self._boot):
                return
            # Twins of one client id are never there together: each finds the other's status in the place of its own.
            # Once, that may be a broker that fell back on what it had saved.
            self._replaced += received.retained and self._told
            if not received.retained or self._replaced > 1:
                text = f"another edge-tdn is {self._base} (boot {boot!r}): `host` must differ"
                self._mention("twin", text, logging.ERROR)
        elif self._announced and received.topic == self._announced.birth_topic and received.payload == ONLINE:
            self._resend(large=True)

    def _resend(self, large: bool) -> None:
        """All that is retained. `large`: also what the broker had already, and holds others up."""
        for topic, message in self._retained.items():
            if len(message.payload) <= LARGE_BYTES:
                self._unsent[topic] = message
            elif large:
                self._large[topic] = message

    def _bring_back(self, wanted: _Replay) -> None:
        """As many as the window allows; behind the last the answer."""
        room = self._room
        entries = self._outbox.replay(wanted.camera, wanted.next_seq, wanted.to_seq, room)
        for entry in entries:
            content = json.loads(entry.payload) | {"replayed": True}
            payload = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
            self._publish(Message(f"{self._base}/{wanted.camera}/events", payload, content_type=JSON))
            wanted.next_seq = entry.seq + 1
        wanted.sent += len(entries)
        if len(entries) < room:
            last = min(wanted.to_seq, self._outbox.last_seq(wanted.camera))
            missing = max(0, last - wanted.from_seq + 1 - wanted.sent)
            result = wanted.answer.result | {"sent": wanted.sent, "missing": missing}
            self._answers[0] = _json(f"{self._base}/reply", wanted.answer.model_copy(update={"result": result}))

    # --------------------------------------------------------------------------------------------------- sending

    def _send(self) -> None:
        """As much as the window allows: retained messages, events, answers."""
        self._try_refused()
        while self._room > 0 and self._unsent:
            self._publish(self._unsent.pop(next(iter(self._unsent))))
        if self._room > 0:
            self._send_events()
        while self._room > 0 and self._answers:
            match self._answers[0]:
                case _Replay() as wanted:
                    self._bring_back(wanted)
                case message:
                    self._publish(message)
                    self._answers.popleft()
        if self._room > 0 and self._large and not self._held_up():
            self._publish(self._large.pop(next(iter(self._large))))

    @property
    def _room(self) -> int:
        return min(WINDOW, self._link.window) - len(self._on_their_way) if self._link else 0

    def _send_events(self) -> None:
        if self._generation != self._outbox.generation:
            self._generation, self._behind = self._outbox.generation, 0
        on_their_way = {what for what in self._on_their_way.values() if isinstance(what, Entry)}
        done = on_their_way.union(self._acknowledged)
        for entry in self._outbox.after(self._behind, self._room + len(done), without=self._refused.keys()):
            if self._room <= 0 or (
                self._careful and any(isinstance(one, Entry) for one in self._on_their_way.values())
            ):
                return
            self._behind = entry.number
            if entry not in done and entry.camera not in self._refused:
                self._publish_event(entry)

    def _try_refused(self) -> None:
        """One event of every camera whose time has come; and what is retained."""
        now = time.monotonic()
        if self._denied and now >= self._again_s:
            self._again_s = now + AGAIN_S[1]
            for topic, (message, _) in self._denied.items():
                self._unsent.setdefault(topic, self._retained.get(topic, message))
        for camera, refused in list(self._refused.items()):
            if not refused.trying and now >= refused.again_s and self._room > 0:
                self._tell_outbox(patient=False)  # or the first would be one that the broker has
                first = self._outbox.first(camera)
                if first:
                    refused.trying = True
                    self._publish_event(first)
                else:  # dropped: too old, or too many
                    del self._refused[camera]
                    self._judge()

    def _publish_event(self, entry: Entry) -> None:
        assert self._link
        message = Message(
            f"{self._base}/{entry.camera}/events", entry.payload, content_type=JSON,
            expiry_s=self._outbox.expiry_s(entry), user=(("camera", entry.camera), ("seq", str(entry.seq))),
        )  # fmt: skip
        if self._too_large(message):
            self._refuse(entry, f"{len(entry.payload)} bytes, too large for this broker")
        else:
            mid = self._link.publish(message)
            self._on_their_way[mid] = entry
            self._stopwatch.sent(entry.camera, entry.seq, mid)

    def _publish(self, message: Message) -> None:
        assert self._link
        if self._too_large(message):
            self._mention(message.topic, f"{message.topic}: {len(message.payload)} bytes, too large for this broker")
        else:
            self._on_their_way[self._link.publish(message)] = message

    def _too_large(self, message: Message) -> bool:
        """The broker would end the connection over it."""
        assert self._link
        return len(message.payload) + len(message.topic.encode()) + HEADER_BYTES > self._link.largest

    def _tell_outbox(self, patient: bool) -> None:
        """Together: each time costs a write to the disk."""
        due = time.monotonic() - self._told_s >= TELL_S or len(self._acknowledged) >= WINDOW // 2
        if self._acknowledged and (due or not patient):
            with heartbeat.patience(DISK_S):
                self._outbox.acknowledge(self._acknowledged)
            self._acknowledged.clear()
            self._told_s = time.monotonic()

    def _leave(self, goodbye: bytes = STOPPED) -> None:
        """Sends what waits, and says goodbye; for a while."""
        self._leaving = True
        deadline = time.monotonic() + GOODBYE_S
        said = False
        while self._link and time.monotonic() < deadline:
            if not said:
                self._send()
            waits = self._unsent or self._outbox.after(self._behind, 1, self._refused.keys())
            if not said and self._room > 0 and not waits:
                self._publish(self._availability(goodbye, self.session))
                said = True
            if said and not self._on_their_way:
                break
            self._take(0.05)
        if self._link and not said:
            self._publish(self._availability(goodbye, self.session))
        self._tell_outbox(patient=False)

    # --------------------------------------------------------------------------------------------- being seen

    def _deliver(self, state: DeliveryState, reason: str) -> None:
        """How it stands with the broker, for the status and the log."""
        if (state, reason) == (self.delivery.state, self.delivery.reason):
            return
        if state != self.delivery.state:
            self.delivery = Delivery(state=state, reason=reason, since=iso(time.time_ns()))
        else:
            self.delivery = self.delivery.model_copy(update={"reason": reason})
        waiting = f"; {self._outbox.waiting} events wait" if self._outbox.waiting else ""
        level = logging.INFO if state == "connected" else logging.WARNING
        text = f"{state}{f': {reason}' if reason else ''}{waiting}"
        self._states.log(level, "broker=%s %s", self._connection.address, text)

    def _mention(self, about: str, text: str, level: int = logging.WARNING) -> None:
        """An oddity."""
        self._oddities.log(level, "broker=%s %s", self._connection.address, text, about=about)


def _json(topic: str, part: Part, retain: bool = False) -> Message:
    return Message(topic, part.json_bytes(), retain=retain, content_type=JSON)


def _boot(payload: bytes) -> str | None:
    """Of a daemon's status; None if it is none."""
    try:
        return str(json.loads(payload)["boot"])[:16]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
