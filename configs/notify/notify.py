#!/usr/bin/env python3
"""Sends a notification with its picture when an action starts: to an ntfy topic, or to a webhook.

    python notify.py --ntfy https://ntfy.sh/TOPIC                        the app ntfy shows it
    python notify.py --webhook http://localhost:8123/api/webhook/ID      a form: message, event (JSON), picture (JPEG)

It needs the package edge_tdn, runs on any machine that reaches the broker, and adapts to your needs: it is short.
Broker, user and password are those of a configuration (--config) or of --broker and its options; --username,
--password-file and --ca-file replace those of the configuration.
Nothing is sent twice over a restart: --state keeps what was sent. If the server is away, it is tried again until a
notification is too old (--max-age-s); after a time without this program, its host sends what was missed.
"""

import argparse
import http.client
import json
import logging
import os
import socket
import sys
import time
import urllib.error
import urllib.request
import uuid
from base64 import b64encode
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge_tdn.cli.chosen_broker import ALL_HOSTS, chosen_broker
from edge_tdn.cli.options import add_broker
from edge_tdn.errors import EdgeTdnError
from edge_tdn.subscriber import ActionEvent, Connection, HostMessage, Snapshot, Subscriber

PICTURE_S = 5.0  # an action's picture comes a moment after its start: wait this long for it
TIMEOUT_S = 15.0  # of one attempt
RETRY_S, MAX_RETRY_S = 2.0, 60.0  # after a failure; doubles each time
REMEMBERED = 1000  # notifications that are known to have been sent
BUSY, NO_PICTURE = (408, 425, 429, 500, 502, 503, 504), (400, 413, 415)  # HTTP statuses: try again; without the picture

log = logging.getLogger("notify")


@dataclass
class Pending:
    """A start that is to be sent."""

    topic: str  # <base>/<camera>
    event: ActionEvent
    picture_until_s: float  # monotonic: wait for its picture until then
    jpeg: bytes | None = None


class Notifier:
    """Sends the starts of actions, each once, in their order."""

    def __init__(self, options: argparse.Namespace, sent: list[str]) -> None:
        self.pending: deque[Pending] = deque()
        self.sent = deque(sent, maxlen=REMEMBERED)  # ids
        self._options = options
        self._snapshots: dict[str, Snapshot] = {}  # the newest of each camera, by its topic
        self._retry_at_s, self._retry_s = 0.0, RETRY_S

    def take(self, message: HostMessage) -> None:
        """Take what a host has published."""
        topic = message.topic.rpartition("/")[0]
        match message.content:
            case Snapshot(jpeg, id_) as snapshot:
                self._snapshots[topic] = snapshot
                for one in self.pending:
                    if one.event.id == id_:
                        one.jpeg = jpeg
            case ActionEvent(type="start") as event if event.id not in self.sent:
                if not self._options.action or event.label in self._options.action:
                    newest = self._snapshots.get(topic)  # it may have come first: the broker retains it
                    jpeg = newest.jpeg if newest and newest.id == event.id else None
                    self.pending.append(Pending(topic, event, time.monotonic() + PICTURE_S, jpeg))

    def work(self) -> bool:
        """Send what is due; return whether something was sent or given up."""
        done = False
        while self.pending and time.monotonic() >= self._retry_at_s:
            first = self.pending[0]
            if not first.jpeg and time.monotonic() < first.picture_until_s:
                break
            if not self._attempt(first, first.jpeg):
                break
            self.pending.popleft()
            self.sent.append(first.event.id)
            done = True
        return done

    def handled(self, complete: dict[str, int]) -> dict[str, int]:
        """Return the `seq` up to which everything is done, by camera: what follows is sent again after a restart."""
        since = dict(complete)
        for one in self.pending:
            since[one.topic] = min(since.get(one.topic, one.event.seq), one.event.seq - 1)
        return since

    def _attempt(self, one: Pending, jpeg: bytes | None) -> bool:
        """Send one notification; return whether it is done with: sent, too old, or refused for good."""
        age_s = (datetime.now(UTC) - datetime.fromisoformat(one.event.started_at)).total_seconds()
        if age_s > self._options.max_age_s:
            log.warning("%s not sent: it is %.0f s old (--max-age-s)", one.event.id, age_s)
            return True
        try:
            with urllib.request.urlopen(request(self._options, one.event, jpeg), timeout=TIMEOUT_S):  # noqa: S310
                pass
        except urllib.error.HTTPError as error:
            text = error.read(200).decode(errors="replace").strip()
            if error.code in NO_PICTURE and jpeg:
                log.warning("the server accepts no picture (%d %s): sent without", error.code, text)
                one.jpeg, one.picture_until_s = None, 0.0
                return self._attempt(one, None)
            if error.code not in BUSY:
                log.error("%s not sent: the server answered %d %s", one.event.id, error.code, text)
                return True
            return self._failed(f"{error.code} {text}", error.headers.get("Retry-After", ""))
        except (OSError, http.client.HTTPException) as error:  # no connection, a time-out; an answer that is not HTTP
            return self._failed(str(error) or type(error).__name__)
        log.info("%s sent%s", one.event.id, "" if jpeg else ", without a picture")
        self._retry_s = RETRY_S
        return True

    def _failed(self, reason: str, retry_after: str = "") -> bool:
        wait_s = float(retry_after) if retry_after.isdigit() else self._retry_s
        log.warning("not sent yet: %s; again in %.0f s", reason, wait_s)
        self._retry_at_s = time.monotonic() + wait_s
        self._retry_s = min(2 * self._retry_s, MAX_RETRY_S)
        return False


def of_message(host: str, camera: str, zone: str | None, label: str, score: float) -> dict[str, str | float]:
    """Return what --message may name."""
    place = f"{camera} {zone}" if zone else camera
    return {"host": host, "camera": camera, "zone": zone or "", "place": place, "label": label, "score": score}


def request(options: argparse.Namespace, event: ActionEvent, jpeg: bytes | None) -> urllib.request.Request:
    """Return the request that notifies of an event."""
    text = options.message.format(**of_message(event.host, event.camera, event.zone, event.label, event.score))
    headers = {"Idempotency-Key": event.id}  # a receiver can recognise what it has already received
    if options.token:
        headers["Authorization"] = f"Bearer {options.token}"
    if options.ntfy:  # https://docs.ntfy.sh/publish: the body is the attachment, or else the message
        headers |= {"Title": encoded(event.label), "Priority": options.priority}
        if jpeg:
            headers |= {"Message": encoded(text), "Filename": f"{event.camera}.jpg", "Content-Type": "image/jpeg"}
        return urllib.request.Request(options.ntfy, jpeg or text.encode(), headers, method="PUT")  # noqa: S310
    fields = [("message", "", "text/plain; charset=utf-8", text.encode())]
    fields.append(("event", "", "application/json", event.json_bytes()))
    if jpeg:
        fields.append(("picture", f'; filename="{event.camera}.jpg"', "image/jpeg", jpeg))
    boundary = uuid.uuid4().hex
    body = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\nContent-Type: {kind}\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, file, kind, content in fields
    )
    headers["Content-Type"] = f"multipart/form-data; boundary={boundary}"
    return urllib.request.Request(options.webhook, body + f"--{boundary}--\r\n".encode(), headers)  # noqa: S310


def encoded(text: str) -> str:
    """Return a header's value: as it is if it can be, else as RFC 2047 has it."""
    plain = text.isascii() and text.isprintable()
    return text if plain else f"=?UTF-8?B?{b64encode(text.encode()).decode()}?="


def parse() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--ntfy", metavar="URL", help="an ntfy topic, such as https://ntfy.sh/my-secret-topic")
    target.add_argument("--webhook", metavar="URL", help="where to send the form")
    parser.add_argument("--token-file", type=Path, help="file with an access token for the server")
    add_broker(parser, base_help=f"topic prefix of the hosts (default: {ALL_HOSTS}, all of them)")
    parser.add_argument("--username", help="for the broker")
    parser.add_argument("--password-file", help="file whose first line is the password for the broker")
    parser.add_argument("--ca-file", help="authorities that the broker's certificate is checked with")
    client = f"edge-tdn-notify-{socket.gethostname()}-{os.getpid()}"
    parser.add_argument(
        "--client", default=client, metavar="NAME", help="name at the broker; unique (default: %(default)s)"
    )
    parser.add_argument("--action", action="append", metavar="NAME", help="only this action; may be repeated")
    parser.add_argument("--message", default="{place}: {label} ({score:.0%})", help="default: %(default)r")
    parser.add_argument("--priority", default="default", help="for ntfy: min, low, default, high or urgent")
    parser.add_argument("--max-age-s", type=float, default=600.0, help="older starts are not sent (default: 600)")
    parser.add_argument("--state", type=Path, help="file that keeps what was sent over a restart")
    options = parser.parse_args()
    if options.config and options.broker:
        parser.error("--config and --broker: choose one")
    if not (options.ntfy or options.webhook).startswith(("http://", "https://")):
        parser.error(f"{options.ntfy or options.webhook} is not an address; write http:// or https:// before it")
    options.token = options.token_file.read_text().strip() if options.token_file else ""
    try:
        options.message.format(**(allowed := of_message("", "", None, "", 0.5)))
    except (ValueError, LookupError) as error:
        parser.error(f"--message {options.message!r}: {error}; allowed: {', '.join(f'{{{name}}}' for name in allowed)}")
    return options


def login(options: argparse.Namespace) -> dict[str, str]:
    """Return the keys of [broker] that the command line replaces."""
    files = {"password_file": options.password_file, "ca_file": options.ca_file}
    given = {key: str(Path(name).absolute()) for key, name in files.items() if name}
    return given | ({"username": options.username} if options.username else {})


def main() -> None:
    """Notify until Ctrl-C."""
    options = parse()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    state = json.loads(options.state.read_text()) if options.state and options.state.exists() else {}
    since, link = state.get("since"), None
    broker = chosen_broker(options, login(options))
    connection = Connection(broker.config, options.client, broker.access)
    notifier = Notifier(options, state.get("sent", []))
    with Subscriber(options.base or broker.config.base or ALL_HOSTS, connection, since) as subscriber:
        while True:
            for message in subscriber.messages(0.2):
                notifier.take(message)
            if link != (link := (subscriber.connected, subscriber.connection_error)):
                log.info("%s: %s", connection.address, "connected" if link[0] else link[1] or "connecting")
            changed = notifier.work()
            if options.state and (changed or since != (since := notifier.handled(subscriber.complete))):
                part = options.state.with_name(f"{options.state.name}.part")
                part.write_text(json.dumps({"since": since, "sent": list(notifier.sent)}))
                part.replace(options.state)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except (EdgeTdnError, OSError, ValueError) as error:
        sys.exit(f"notify: {error}")
