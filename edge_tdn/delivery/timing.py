"""Time limits of the publisher and of its connection, in seconds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PublisherTiming:
    """Time limits of the publisher's thread."""

    tick_s: float = 1.0  # longest sleep while there is nothing to do
    disk_s: float = 60.0  # one write to a slow disk: a restart during it would lose the events that wait in memory
    store_s: float = 0.2  # longest delay before acknowledgements, which are collected, are stored in the outbox
    min_retry_s: float = 1.0  # first wait before a rejected camera, or a disk, is tried again; it doubles each time
    max_retry_s: float = 30.0  # longest wait; rejected retained messages are always tried again after this
    min_probe_s: float = 60.0  # first wait before something over which the connection ended is tried again
    max_probe_s: float = 3600.0  # longest wait; it doubles with every connection that ended over it
    answer_s: float = 60.0  # longest wait for the answer to a message that was sent alone
    goodbye_s: float = 1.0  # how long a clean stop waits for the last acknowledgements
    state_log_s: float = 1.0  # at most one log line about the delivery state in this time
    warning_log_s: float = 60.0  # at most one log line about the same warning in this time


@dataclass(frozen=True)
class ConnectionTiming:
    """Time limits of a connection to the broker."""

    min_retry_s: float = 1.0  # first wait between two connections; it doubles until `max_retry_s`
    max_retry_s: float = 20.0
    jitter: float = 0.5  # random fraction added to each wait, so that the hosts of a site do not reconnect all at once
    backoff_reset_s: float = 5.0  # a connection that lasted longer resets the wait to `min_retry_s`
    connect_s: float = 1.5  # TCP connect and TLS handshake, each
    connack_s: float = 3.0  # from then until the broker's CONNACK
    probe_s: float = 0.4  # for each answer of a port that does not answer as an MQTT broker
    close_s: float = 0.5  # a clean disconnect
