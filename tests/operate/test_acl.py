"""configs/mosquitto/acl.conf at a real mosquitto: a host serves with it, and each user is kept to its own topics."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge_tdn.config.credentials import Access
from edge_tdn.config.tables import BrokerConfig
from edge_tdn.delivery.mqtt import Acknowledged, Connected, Connection, Message
from tests.conftest import ROOT
from tests.support.broker import PATIENT, Mosquitto
from tests.support.daemon import DaemonProcess
from tests.support.mqtt import RecordingClient
from tests.support.retained import retained_topics
from tests.support.waiting import PROGRAM_S, eventually

USERS = ("barn", "mill", "home-assistant", "operator", "viewer", "notify", "bridge")
COMMAND = "edge-tdn/barn/cmd/door/set/threshold"
SITE = """
host = "barn"
[broker]
url = "mqtt://127.0.0.1:{port}"
username = "barn"
password_file = "password"
scores = true
[record]
snapshot = true
[home_assistant]
discovery = "{form}"
[[camera]]
name = "door"
source = "demo:"
loop = true
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """A mosquitto with the shipped rules at its guarded port; each user's password is the name."""
    folder = tmp_path_factory.mktemp("broker")
    for user in USERS:
        create = [] if (folder / "passwd").exists() else ["-c"]
        subprocess.run(["mosquitto_passwd", "-b", *create, folder / "passwd", user, user], check=True)
    text = (ROOT / "configs/mosquitto/acl.conf").read_text()
    (folder / "acl.conf").write_text(f"{text}\npattern readwrite marker/#\n")  # of RecordingClient
    for name in ("passwd", "acl.conf"):
        (folder / name).chmod(0o600)
    lines = [f"allow_anonymous false\npassword_file {folder}/passwd\nacl_file {folder}/acl.conf"]
    for line in ("allow_anonymous false", "password_file /etc/mosquitto/passwd", "acl_file /etc/mosquitto/acl.conf"):
        assert f"#   {line}\n" in text, "the comment of the file says how it is used"
    broker = Mosquitto(folder, "\n".join(lines))
    yield broker
    broker.stop()


def rejection(broker: Mosquitto, user: str, topic: str) -> str | None:
    """Publish as a user; return why the broker rejected the message, or None."""
    config = BrokerConfig.model_validate({"url": f"mqtt://127.0.0.1:{broker.guarded_port}", "username": user})
    with closing(Connection(config, f"test-{user}", Access(user), timing=PATIENT)) as connection:
        note = connection.notes.get(timeout=PROGRAM_S)
        assert isinstance(note, Connected), note
        note.link.publish(Message(topic, b"{}"))
        answer = connection.notes.get(timeout=PROGRAM_S)
        assert isinstance(answer, Acknowledged), answer
        return answer.rejection


@pytest.mark.parametrize("form", ["device", "component"])
def test_a_host_serves_with_the_rights_of_its_own_user(form: str, guarded: Mosquitto, tmp_path: Path) -> None:
    """Every topic is accepted, discovery too; Home Assistant's commands and its birth message arrive."""
    config = tmp_path / "site.toml"
    config.write_text(SITE.format(port=guarded.guarded_port, form=form))
    (tmp_path / "password").write_text("barn\n")
    all_topics = RecordingClient(guarded.port, "#")
    home = RecordingClient(
        guarded.guarded_port, "edge-tdn/#", "homeassistant/#", user="home-assistant", password="home-assistant"
    )

    def on(suffix: str) -> list[bytes]:
        return [message.payload for message in home.on(f"edge-tdn/barn/{suffix}")]

    with closing(all_topics), closing(home), DaemonProcess(config) as daemon:
        eventually(lambda: on("door/events") and on("door/snapshot") and on("door/scores"), describe=daemon.log)
        assert on("availability")[-1] == b"online"
        discovery = {topic for topic in retained_topics(guarded.port, "homeassistant/#") if topic.endswith("/config")}
        assert {topic.split("/")[1] == "device" for topic in discovery} == {form == "device"}
        assert [topic for topic in discovery if "edge-tdn_barn_door" in topic]
        assert rejection(guarded, "home-assistant", COMMAND) is None
        eventually(lambda: on("reply"), describe=daemon.log)
        assert json.loads(on("reply")[-1])["command"] == "door/set/threshold"
        statuses = [json.loads(payload) for payload in on("status")]
        assert {status["delivery"]["state"] for status in statuses} <= {"connecting", "connected"}, statuses
        assert daemon.terminate() == 0
        eventually(lambda: on("availability")[-1] == b"stopped")
        log = daemon.log()
    assert "ejected" not in log
    assert "uthorized" not in log


@pytest.mark.parametrize(
    ("user", "topics"),
    [
        ("barn", ["edge-tdn/barn/status", "edge-tdn/barn/door/events", "homeassistant/device/edge-tdn_barn/config"]),
        ("home-assistant", [COMMAND, "homeassistant/status"]),
        ("operator", ["edge-tdn/barn/status", "edge-tdn/mill/cmd/replay", "homeassistant/device/edge-tdn_barn/config"]),
        ("notify", ["edge-tdn/barn/cmd/replay"]),
        ("bridge", ["edge-tdn/barn/door/events", "edge-tdn-bridge/barn", "homeassistant/device/edge-tdn_barn/config"]),
    ],
)
def test_each_user_may_write_what_belongs_to_it(user: str, topics: list[str], guarded: Mosquitto) -> None:
    assert {topic: rejection(guarded, user, topic) for topic in topics} == dict.fromkeys(topics)


@pytest.mark.parametrize(
    ("user", "topics"),
    [
        (
            "barn",
            [
                "edge-tdn/mill/status",
                "edge-tdn/mill/cmd/replay",
                "edge-tdn/barnyard/status",
                "homeassistant/status",
                "x",
            ],
        ),
        ("home-assistant", ["edge-tdn/barn/status", "edge-tdn/barn/door/events", "edge-tdn-bridge/barn"]),
        ("viewer", ["edge-tdn/barn/status", COMMAND, "homeassistant/status"]),
        ("notify", ["edge-tdn/barn/status", "edge-tdn/barn/door/events", COMMAND, "homeassistant/status"]),
        ("bridge", ["other/topic", "edge-tdn-bridges/barn"]),
        ("operator", ["other/topic", "$SYS/broker/version"]),
    ],
)
def test_what_belongs_to_others_is_rejected(user: str, topics: list[str], guarded: Mosquitto) -> None:
    found = {topic: rejection(guarded, user, topic) for topic in topics}
    assert all(found.values()), found


@pytest.mark.parametrize(
    ("user", "reads"),
    [
        ("barn", {"edge-tdn/barn/cmd/x", "edge-tdn/barn/status", "homeassistant/status"}),
        ("mill", {"edge-tdn/mill/status", "homeassistant/status"}),
        ("viewer", {"edge-tdn/barn/cmd/x", "edge-tdn/barn/status", "edge-tdn/mill/status", "homeassistant/status"}),
        ("notify", {"edge-tdn/barn/cmd/x", "edge-tdn/barn/status", "edge-tdn/mill/status", "homeassistant/status"}),
        ("bridge", {"edge-tdn/barn/cmd/x", "edge-tdn/barn/status", "edge-tdn/mill/status", "homeassistant/status"}),
    ],
)
def test_each_user_reads_what_belongs_to_it_and_nothing_else(user: str, reads: set[str], guarded: Mosquitto) -> None:
    client = RecordingClient(guarded.guarded_port, "#", user=user, password=user)
    connection, link = guarded.link("writer")
    topics = ("edge-tdn/barn/cmd/x", "edge-tdn/barn/status", "edge-tdn/mill/status", "homeassistant/status", "other/x")
    with closing(client), closing(connection):
        for topic in topics:
            link.publish(Message(topic, b"written by the test"))
        for _ in topics:
            assert isinstance(connection.notes.get(timeout=PROGRAM_S), Acknowledged)
        eventually(lambda: reads <= {one.topic for one in client.messages}, describe=lambda: client.messages)
        received = {one.topic for one in client.messages if one.payload == b"written by the test"}
    assert received == reads


def test_a_client_without_a_user_is_not_accepted(guarded: Mosquitto) -> None:
    with closing(Connection(BrokerConfig(url=f"mqtt://127.0.0.1:{guarded.guarded_port}"), "anyone")) as connection:
        assert not isinstance(connection.notes.get(timeout=PROGRAM_S), Connected)
