"""configs/notify/notify.py, run as a program between a real broker and a real HTTP server."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_tdn.delivery.mqtt import Message
from edge_tdn.jpeg_comment import comment_in, with_comment
from edge_tdn.messages import ActionEvent
from tests.conftest import ROOT
from tests.support.broker import Mosquitto
from tests.support.daemon import DaemonProcess
from tests.support.site import write_site
from tests.support.subscriber import JPEG, ReplayingHost, make_event
from tests.support.waiting import eventually
from tests.support.webhook import HttpRequest, WebhookServer

PROGRAM = ROOT / "configs/notify/notify.py"
ALWAYS = ("--max-age-s", "1e12")  # the events of these tests are old
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(broker: Mosquitto, tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts the program; all are killed afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def start_one(*options: str) -> subprocess.Popen[bytes]:
        """Start the program, and return it when it has subscribed."""
        log = tmp_path / f"log{len(started)}"
        with log.open("w") as errors:
            where = () if "--config" in options else ("--broker", broker.url)
            command = [sys.executable, str(PROGRAM), *where, *ALWAYS, *options]
            started.append(subprocess.Popen(command, stderr=errors))
        eventually(lambda: "connected" in log.read_text(), describe=log.read_text)
        return started[-1]

    yield start_one
    for process in started:
        process.kill()
        process.wait()


class PublishingHost:
    """Publishes events and pictures, as a host does."""

    def __init__(self, broker: Mosquitto) -> None:
        self.connection, self._link = broker.link()

    def event(self, seq: int, **changes: object) -> ActionEvent:
        event = make_event(seq).model_copy(update=changes)
        self._link.publish(Message("edge-tdn/here/door/events", event.json_bytes()))
        return event

    def picture(self, event_id: str, jpeg: bytes = JPEG) -> bytes:
        named = with_comment(jpeg, event_id)
        self._link.publish(Message("edge-tdn/here/door/snapshot", named, retain=True))
        return named


@pytest.fixture
def host(broker: Mosquitto) -> Iterator[PublishingHost]:
    host = PublishingHost(broker)
    yield host
    host.connection.close()


@pytest.fixture
def server() -> Iterator[WebhookServer]:
    with WebhookServer() as server:
        yield server


def received(server: WebhookServer, count: int) -> list[HttpRequest]:
    eventually(lambda: len(server.requests) >= count, describe=lambda: server.requests)
    return server.requests


def test_ntfy_gets_each_start_once_with_its_own_picture(
    server: WebhookServer, host: PublishingHost, start: Start
) -> None:
    host.picture("here/door/b0/9")  # of an earlier action, retained
    start("--ntfy", f"{server.url}/my-secret_topic", "--message", "{label} an der Tür, {score:.0%}")
    host.event(1, label="öffnen")
    host.picture("here/door/b0/10")
    picture = host.picture("here/door/b1/1")
    host.event(1, label="öffnen")  # sent twice by the broker
    host.event(2, id="here/door/b1/1", type="update")
    host.event(3, id="here/door/b1/1", type="end")
    host.event(4)  # its picture does not come
    one, two = received(server, 2)
    assert one.ntfy() == {
        "topic": "my-secret_topic",
        "title": "öffnen",
        "message": "öffnen an der Tür, 90%",
        "attachment": picture,
    }
    assert two.ntfy() == {
        "topic": "my-secret_topic",
        "title": "left",
        "message": "left an der Tür, 90%",
        "attachment": None,
    }
    assert len(server.requests) == 2


def test_a_webhook_gets_the_event_and_only_chosen_actions(
    server: WebhookServer, host: PublishingHost, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("secret\n")
    start("--webhook", f"{server.url}/hook", "--action", "left", "--token-file", str(tmp_path / "token"))
    host.event(1, label="right")
    event = host.event(2)
    picture = host.picture(event.id)
    (request,) = received(server, 1)
    assert (request.method, request.path, request.headers["authorization"]) == ("POST", "/hook", "Bearer secret")
    assert request.headers["idempotency-key"] == event.id
    form = request.form()
    assert (form["message"], form["picture"]) == (b"door: left (90%)", picture)
    assert json.loads(form["event"]) == json.loads(event.json_bytes())
    host.event(3, zone="gate")
    other = host.event(4, zone="yard.2")
    picture = host.picture(other.id)
    first, second = (request.form() for request in received(server, 3)[1:])
    assert (first["message"], "picture" in first) == (b"door gate: left (90%)", False)
    assert (second["message"], second["picture"]) == (b"door yard.2: left (90%)", picture)


def test_what_a_server_rejects_is_sent_again_or_without_the_picture(
    server: WebhookServer, host: PublishingHost, start: Start
) -> None:
    server.answers = [(503, "0"), (429, "0"), (413, ""), (200, ""), (403, ""), (200, "")]
    start("--ntfy", f"{server.url}/topic")
    host.event(1)
    host.picture("here/door/b1/1")
    assert [bool(request.ntfy()["attachment"]) for request in received(server, 4)] == [True, True, True, False]
    for seq in (2, 3):
        host.event(seq)
        host.picture(f"here/door/b1/{seq}")
        received(server, 3 + seq)
    keys = [request.headers["idempotency-key"] for request in server.requests[4:]]
    assert keys == ["here/door/b1/2", "here/door/b1/3"], "what is forbidden is not tried again"


def test_each_start_keeps_its_picture_while_the_server_is_away(
    server: WebhookServer, host: PublishingHost, start: Start
) -> None:
    server.answers = [(503, "2"), (200, ""), (200, "")]
    start("--webhook", server.url)
    pictures = []
    for seq in (1, 2):
        host.event(seq)
        pictures.append(host.picture(f"here/door/b1/{seq}"))
        received(server, 1)
    assert [request.form()["picture"] for request in received(server, 3)] == [pictures[0], *pictures]


def test_nothing_is_lost_or_sent_twice_over_a_restart(
    server: WebhookServer, broker: Mosquitto, start: Start, tmp_path: Path
) -> None:
    """Events that a host published while the program was away are requested from it."""
    replaying = ReplayingHost(broker)
    sent = tmp_path / "state.json"
    state = ("--state", str(sent), "--webhook", server.url)
    server.answers = [(503, "600")]
    first = start(*state)
    replaying.publish(1)
    received(server, 1)  # and not accepted
    first.kill()
    first.wait()
    second = start(*state)
    replaying.publish(2)

    def keys() -> list[str]:
        return [request.headers["idempotency-key"] for request in server.requests[1:]]

    eventually(lambda: len(keys()) == 2, describe=keys)
    eventually(lambda: all(key in sent.read_text() for key in keys()), describe=sent.read_text)
    second.kill()
    second.wait()
    replaying.publish(3, 4)
    replaying.wait_until_published()
    start(*state)
    replaying.publish_until(lambda: len(keys()) >= 5, seq=5, camera="door")
    replaying.publish(1, 2, 3, 4, 5, 6)
    eventually(lambda: len(keys()) >= 6, describe=keys)
    replaying.close()
    assert sorted(keys()) == [f"here/door/b1/{seq}" for seq in range(1, 7)]


def test_a_daemons_action_arrives_with_its_picture_and_the_name_of_its_file(
    server: WebhookServer, broker: Mosquitto, start: Start, tmp_path: Path
) -> None:
    """From a camera that plays the demo's clip to the form that a webhook receives: every part is the real one."""
    camera = 'name = "t"\nsource = "demo:"\nloop = true'
    config = write_site(tmp_path, broker.url, camera, extra='[record]\nsnapshot = true\nfolder = "seen"')
    start("--webhook", server.url)
    with DaemonProcess(config):
        form = received(server, 1)[0].form()
    event = ActionEvent.model_validate_json(form["event"])
    assert event.type == "start"
    assert event.snapshot
    assert comment_in(form["picture"]) == event.id
    assert comment_in((tmp_path / "seen" / event.snapshot).read_bytes()) == event.id


def test_broker_login_and_topics_are_those_of_a_configuration(server: WebhookServer, tmp_path: Path) -> None:
    """Its password file is relative to it; a user of the command line replaces the configuration's."""
    for user in ("barn", "notify"):
        command = ["mosquitto_passwd", *([] if user == "notify" else ["-c"]), "-b", "passwd", user, f"secret of {user}"]
        subprocess.run(command, cwd=tmp_path, check=True)
        (tmp_path / f"{user}.password").write_text(f"secret of {user}\n")
    (tmp_path / "passwd").chmod(0o600)
    broker = Mosquitto(tmp_path, f"allow_anonymous false\npassword_file {tmp_path}/passwd")
    config = tmp_path / "site.toml"
    config.write_text(
        f'[broker]\nurl = "mqtt://127.0.0.1:{broker.guarded_port}"\nusername = "barn"\n'
        'password_file = "barn.password"\nbase = "edge-tdn/here"\n'
    )
    programs = []
    try:
        for number, user in enumerate(((), ("--username", "notify", "--password-file", f"{tmp_path}/notify.password"))):
            command = [sys.executable, str(PROGRAM), *ALWAYS, "--webhook", server.url, "--config", str(config), *user]
            log = tmp_path / f"log{number}"
            with log.open("w") as errors:
                programs.append(subprocess.Popen(command, stderr=errors))
            eventually(lambda log=log: "connected" in log.read_text(), describe=log.read_text)
        host = PublishingHost(broker)
        event = host.event(1)
        host.connection.close()
        assert {one.headers["idempotency-key"] for one in received(server, 2)} == {event.id}
    finally:
        for program in programs:
            program.kill()
            program.wait()
        broker.stop()


def test_two_programs_at_one_broker_do_not_disconnect_each_other(
    server: WebhookServer, host: PublishingHost, start: Start, tmp_path: Path
) -> None:
    for _ in range(2):
        start("--webhook", server.url)
    host.event(1)
    received(server, 2)
    for log in ("log0", "log1"):
        assert "lost" not in (tmp_path / log).read_text()


def test_an_old_start_is_not_sent(server: WebhookServer, host: PublishingHost, start: Start) -> None:
    start("--webhook", server.url, "--max-age-s", "600", "--action", "left")
    host.event(1)
    host.event(2, started_at="2999-01-01T00:00:00.000Z")
    assert [json.loads(request.form()["event"])["seq"] for request in received(server, 1)] == [2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "one of the arguments --ntfy --webhook is required"),
        (["--ntfy", "ntfy.sh/x"], "ntfy.sh/x is not an address; write http:// or https:// before it"),
        (["--ntfy", "https://x/y", "--message", "{who}"], "allowed: {host}, {camera}, {zone}, {place}, {label}, "),
        (["--ntfy", "https://x/y", "--token-file", "/none"], "No such file or directory: '/none'"),
        (["--ntfy", "https://x/y", "--username", "u", "--password-file", "/none"], "/none"),
        (["--ntfy", "https://x/y", "--config", "/none"], "/none: No such file or directory"),
        (["--ntfy", "https://x/y", "--config", "/none", "--broker", "mqtt://x"], "--config and --broker: choose one"),
    ],
)
def test_a_wrong_option_is_named_without_a_traceback(options: list[str], message: str) -> None:
    done = subprocess.run([sys.executable, str(PROGRAM), *options], capture_output=True, text=True)
    assert done.returncode
    assert message in done.stderr
    assert "Traceback" not in done.stderr
