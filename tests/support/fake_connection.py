"""Connections without a broker or thread, for tests of what uses them."""

from collections.abc import Callable

from edge_tdn.delivery.mqtt import Inbox, Message


class FakeConnection:
    """A connection that the test drives through its will and inbox."""

    def __init__(self, will: Callable[[int], Message], inbox: Inbox) -> None:
        self.will, self.inbox = will, inbox
        self.address = "broker:1883"
        self.closed = False

    def close(self, cleanly: bool = True) -> None:
        self.closed = True


class FakeLink:
    """A link that keeps what is published."""

    def __init__(self, session: int, window: int = 10, max_packet_bytes: int = 1000) -> None:
        self.session, self.window, self.max_packet_bytes = session, window, max_packet_bytes
        self.published: list[Message] = []
        self.subscribed: list[str] = []

    def publish(self, message: Message) -> int:
        self.published.append(message)
        return len(self.published)

    def subscribe(self, topic: str) -> None:
        self.subscribed.append(topic)
