"""configs/node-red/notify.json: its nodes are wired, and the real Node-RED runs it between a broker and a webhook.

Node-RED comes from npm:

    npm install --prefix FOLDER node-red
    EDGE_TDN_NODE_RED=FOLDER/node_modules/.bin/node-red python -m pytest -m nodered
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_tdn.delivery.mqtt import Message
from edge_tdn.jpeg_comment import with_comment
from tests.conftest import ROOT
from tests.support.broker import Mosquitto
from tests.support.ports import free_port
from tests.support.subscriber import JPEG, make_event
from tests.support.waiting import eventually
from tests.support.webhook import WebhookServer

FLOW = ROOT / "configs/node-red/notify.json"
START_S = 300


def nodes() -> dict[str, dict[str, Any]]:
    """Return the flow's nodes, by their type and name."""
    return {f"{node['type']} {node.get('name', '')}".strip(): node for node in json.loads(FLOW.read_text())}


def test_every_wire_leads_to_a_node_and_every_node_is_a_core_one() -> None:
    flow = json.loads(FLOW.read_text())
    ids = [node["id"] for node in flow]
    assert len(set(ids)) == len(ids)
    targets = {target for node in flow for wires in node.get("wires", []) for target in wires}
    assert targets < set(ids)
    assert {node["broker"] for node in flow if node["type"] == "mqtt in"} <= set(ids)
    core = {"tab", "mqtt-broker", "mqtt in", "switch", "function", "http request", "debug"}
    assert {node["type"] for node in flow} == core, "nothing to install"


@pytest.fixture
def server() -> Iterator[WebhookServer]:
    with WebhookServer() as server:
        yield server


@pytest.fixture
def node_red(broker: Mosquitto, server: WebhookServer, tmp_path: Path) -> Iterator[None]:
    """Run the flow with the broker and the address that a user would enter in the editor."""
    program = os.environ.get("EDGE_TDN_NODE_RED") or shutil.which("node-red")
    if not program:
        pytest.skip("no Node-RED: npm install node-red, and set EDGE_TDN_NODE_RED to node_modules/.bin/node-red")
    flow = nodes()
    flow["mqtt-broker broker"] |= {"broker": "127.0.0.1", "port": str(broker.port)}
    flow["http request webhook"]["url"] = f"{server.url}/notify"
    (tmp_path / "flows.json").write_text(json.dumps(list(flow.values())))
    settings = {"uiPort": free_port(), "uiHost": "127.0.0.1", "httpAdminRoot": False, "telemetry": {"enabled": False}}
    (tmp_path / "settings.js").write_text(f"module.exports = {json.dumps(settings)}")
    log = tmp_path / "log"
    with log.open("w") as output:
        command = [program, "--userDir", str(tmp_path), "--settings", str(tmp_path / "settings.js"), "flows.json"]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=tmp_path)
    eventually(lambda: "Connected to broker" in log.read_text(), START_S, log.read_text)
    yield
    process.terminate()
    process.wait(60)


@pytest.mark.nodered
@pytest.mark.usefixtures("node_red")
def test_node_red_posts_each_start_once_with_its_own_picture(broker: Mosquitto, server: WebhookServer) -> None:
    connection, link = broker.link()

    def picture(event_id: str) -> bytes:
        jpeg = with_comment(JPEG, event_id)
        link.publish(Message("edge-tdn/here/door/snapshot", jpeg, retain=True))
        return jpeg

    def event(seq: int, **changes: object) -> bytes:
        payload = make_event(seq).model_copy(update=changes).json_bytes()
        link.publish(Message("edge-tdn/here/door/events", payload))
        return payload

    picture("here/door/b0/9")  # of an earlier action
    event(1, replayed=True)  # for another program
    first = event(2)
    event(2)  # delivered twice
    event(3, id="here/door/b1/2", type="end")
    picture("here/door/b0/10")
    right = picture("here/door/b1/2")
    second = event(4, zone="gate")  # without a picture
    eventually(lambda: len(server.requests) >= 2, describe=lambda: server.requests)
    connection.close()
    forms = [request.form() for request in server.requests]
    assert [request.path for request in server.requests] == ["/notify", "/notify"]
    assert [json.loads(form.pop("event")) for form in forms] == [json.loads(first), json.loads(second)]
    assert forms == [
        {"message": b"door: left (90 %)", "picture": right},
        {"message": b"door gate: left (90 %)"},
    ]
