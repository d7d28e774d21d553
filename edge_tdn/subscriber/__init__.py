"""The API for programs that subscribe to action events; also used by `edge-tdn watch` and `edge-tdn demo`.

    from pathlib import Path
    from edge_tdn.subscriber import ActionEvent, BrokerConfig, Connection, Gap, Subscriber, broker_access

    broker = BrokerConfig(url="mqtt://localhost:1883")  # with username="...", password_file="...", if it requires them
    connection = Connection(broker, "my-program", broker_access(broker, Path.cwd()))
    with Subscriber("edge-tdn/+", connection) as subscriber:
        for message in subscriber.messages(timeout_s=3600):
            match message.content:
                case ActionEvent() as event:
                    print(message.topic, event.seq, event.type, event.label)
                case Gap() as gap:
                    print(gap.topic, gap.from_seq, gap.to_seq, gap.state, gap.reason)

`broker_access` reads the files that `password_file`, `ca_file`, `cert_file` and `key_file` name, relative to a folder.
A connection without it does not read them: it sends no password, and trusts the system's authorities.

Every event is yielded once. Missing events are requested from their host, and yielded when it sends them again: after
newer ones, with `replayed` set. To continue after a restart of your program, save `subscriber.complete` and pass it as
`since`; then an event may be yielded once more. How missing events are detected: gaps.py.

A camera's picture is a `Snapshot`: its `id` is that of the action that it shows.

Availability is whether a host is running. The last status of a camera stays on the broker when its host is down.

While the broker is away, no messages arrive and nothing is raised: the connection is retried, and
`subscriber.connected` and `subscriber.connection_error` report its state. To check these regularly, use a short
`timeout_s`. The client id, here `my-program`, must be unique on the broker: of two clients with the same id, each
disconnects the other.
"""

from edge_tdn.config.credentials import broker_access
from edge_tdn.config.tables import BrokerConfig
from edge_tdn.delivery.mqtt import Connection
from edge_tdn.messages import ActionEvent, Reply, TopScores
from edge_tdn.status_messages import Availability, CameraStatus, DaemonStatus
from edge_tdn.subscriber.gaps import EventCounts, Gap, Recount
from edge_tdn.subscriber.subscriber import Content, HostMessage, Snapshot, Subscriber

__all__ = [
    "ActionEvent",
    "Availability",
    "BrokerConfig",
    "CameraStatus",
    "Connection",
    "Content",
    "DaemonStatus",
    "EventCounts",
    "Gap",
    "HostMessage",
    "Recount",
    "Reply",
    "Snapshot",
    "Subscriber",
    "TopScores",
    "broker_access",
]
