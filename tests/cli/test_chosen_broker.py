"""The broker and the topics that `watch` and `status` are given on the command line."""

from pathlib import Path

import pytest

from edge_tdn.cli import watch
from edge_tdn.cli.chosen_broker import chosen_broker
from edge_tdn.cli.timing import WatchTiming
from edge_tdn.errors import BrokerError, ConfigError
from tests.support.command_line import parse


@pytest.mark.parametrize("base", ["edge-tdn/#", "/edge-tdn", "edge-tdn/x/", "edge-tdn//x", "edge+/x", ""])
def test_a_base_that_is_not_a_topic_prefix_is_refused(base: str) -> None:
    with pytest.raises(ConfigError) as raised:
        chosen_broker(parse("watch", "--base", base))
    assert str(raised.value).startswith(f"--base {base!r}: a topic without / at its ends, in which +")


def test_a_broker_url_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"broker\.url = 'tcp://x': allowed: mqtt://HOST"):
        chosen_broker(parse("watch", "--broker", "tcp://x"))


def test_another_login_replaces_that_of_the_configuration(tmp_path: Path) -> None:
    """Files of the configuration are beside it; its own password is not read then."""
    (tmp_path / "mine").write_text("secret\n")
    (tmp_path / "ca.pem").touch()
    broker = '[broker]\nurl = "mqtts://b"\nusername = "u"\npassword_file = "credential:absent"\nca_file = "ca.pem"\n'
    (tmp_path / "site.toml").write_text(broker)
    given = {"username": "me", "password_file": str(tmp_path / "mine")}
    chosen = chosen_broker(parse("watch", "--config", tmp_path / "site.toml"), given)
    assert (chosen.config.url, chosen.config.username, chosen.access.password) == ("mqtts://b", "me", "secret")
    assert chosen.access.ca == tmp_path / "ca.pem"
    chosen = chosen_broker(parse("watch", "--broker", "mqtt://c"), given)
    assert (chosen.config.url, chosen.config.username, chosen.access.password) == ("mqtt://c", "me", "secret")


def test_a_login_that_does_not_fit_the_configuration_is_named_as_the_command_lines(tmp_path: Path) -> None:
    """The remedy for the configuration's own credential is not given: another file was named."""
    path = tmp_path / "site.toml"
    path.write_text('[broker]\nurl = "mqtt://b"\n')
    with pytest.raises(ConfigError, match=r"^command line: broker: password_file needs a username$"):
        chosen_broker(parse("watch", "--config", path), {"password_file": "/nowhere"})


def test_watch_ends_when_the_broker_does_not_answer_in_time() -> None:
    options = parse("watch", "--broker", "mqtt://127.0.0.1:1")
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:1: .*; is a broker running there\?"):
        watch.run(options, WatchTiming(connect_s=1.0))
