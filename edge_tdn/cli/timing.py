"""Time limits of the commands, in seconds. Tests pass their own."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WatchTiming:
    """Time limits of `edge-tdn watch`."""

    connect_s: float = 10.0  # for the broker to answer
    silence_s: float = 10.0  # without any message after connecting: the topic prefix may be wrong


@dataclass(frozen=True)
class StatusTiming:
    """Time limits of `edge-tdn status`."""

    connect_s: float = 10.0  # for the broker to answer
    marker_s: float = 3.0  # for a message of our own to return, behind everything that is retained
    quiet_s: float = 0.5  # without a message: everything has been received, if the marker may not be published
    draw_every_s: float = 0.5  # with --watch


@dataclass(frozen=True)
class DoctorTiming:
    """Time limits of `edge-tdn doctor`."""

    resolve_s: float = 5.0  # for the broker's name to be resolved
    connect_s: float = 3.0  # for the broker to accept a connection
    login_s: float = 8.0  # and to let the client in
    answers_s: float = 3.0  # and to acknowledge all messages
    quiet_s: float = 0.3  # after that, for what is retained to arrive
    settle_s: float = 5.0  # for a daemon that has just connected to report its state
    first_picture_s: float = 10.0  # for a camera to deliver its first picture
    look_s: float = 3.0  # of watching each camera after that
    grace_s: float = 2.0  # for a library to return after that
    measure_s: float = 1.0  # of measuring the model's speed
    command_s: float = 5.0  # for systemctl and systemd-analyze to answer


@dataclass(frozen=True)
class DemoTiming:
    """Time limits of `edge-tdn demo`."""

    answer_s: float = 1.0  # for the terminal to answer how it can show pictures
    draw_every_s: float = 0.125


DEFAULT_DEMO = DemoTiming()
DEFAULT_WATCH, DEFAULT_STATUS, DEFAULT_DOCTOR = WatchTiming(), StatusTiming(), DoctorTiming()
