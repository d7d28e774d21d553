"""The commands of README and docs: each is accepted by its parser, and run here, or listed with what it needs."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_tdn.help.parser import command_parsers
from tests.conftest import ROOT
from tests.support.broker import Mosquitto
from tests.support.document_walk import Reader
from tests.support.documents import PAGES, README, Block, Page, invocation
from tests.support.programs import PROGRAMS

CAMERA = "needs a camera"
ROOT_RIGHTS = "needs root, and changes the machine"
CHECKPOINT = "needs a published checkpoint, and minutes; tests/export runs the same on small networks"
TRAINING = "trains or evaluates a network, minutes; tests/training runs the same on small ones"
SERVER = "sends to a server until it is stopped; tests/system/test_notifications.py runs the program"
PROJECT = "sets up an environment, or takes minutes to hours"
CONTAINER = "needs podman; tests/system/test_container_image.py builds the image, and runs it, also with compose.yaml"
PACKAGE = "changes the environment; tests/system/test_wheel.py installs the wheel with each program in one of its own"
HOSTS = "needs several hosts; tests/operate/test_page.py runs the same"
WATCH = "needs several hosts, and runs until it is stopped; tests/cli/test_watch.py runs the program"
ANSIBLE = "needs Ansible; tests/operate/test_ansible.py checks the playbook, and runs its role on this machine"
BENCHMARK = "measures for a minute or more; tests/cli/test_bench.py measures the shipped model for seconds"
TABLE = "writes docs/hardware.md; tests/system/test_hardware_page.py runs the same on a copy"
WEIGHTS = "needs the network; tests/training/loop/test_imagenet_file.py compares it with where the file is looked for"
TARGETS_NOT_RUN = (
    *("demo", "check", "test", "test-slow", "test-training", "test-systemd"),
    *("deb", "dist", "bench", "bench-cameras", "chaos", "chaos-cameras", "soak"),
)
NOT_RUN = {  # pattern of whole commands: why no reader of a test types them
    r"export PATH=.*": "the tests have a PATH of their own",
    r"(.*\| )?sudo .*": ROOT_RIGHTS,
    **{f"make {target}": PROJECT for target in TARGETS_NOT_RUN},
    r"make deb VERSION=.*": PROJECT,
    r"edge-tdn demo --source /dev/video0": CAMERA,
    r"edge-tdn (record --source|zones) rtsp://.*": CAMERA,
    r"podman(-compose)? .*": CONTAINER,
    r"(pip|pipx|uv tool) install .*": PACKAGE,
    r"curl .*": WEIGHTS,
    r"edge-tdn (status|forget) .*--config operator\.toml.*": HOSTS,
    r"edge-tdn watch --config operator\.toml .*": WATCH,
    r"ansible-playbook .*": ANSIBLE,
    r"edge-tdn bench.*": BENCHMARK,
    r"python -m tests\.bench\.hardware_table": TABLE,
    r"python configs/notify/notify\.py .*": SERVER,
    r"edge-tdn-train (finetune|train|evaluate) .*": TRAINING,
    r"edge-tdn-export (quantize|parity|inspect|explain|ensemble) models/ssv2.*|.*best\.pth\.tar .*": CHECKPOINT,
}
COMMANDS = [(page, command) for page in PAGES for command in page.commands]
TARGETS = sorted({found[1] for _, command in COMMANDS if (found := re.match(r"(?:sudo )?make ([a-z][\w-]*)", command))})
SPANS = [(page, span) for page in PAGES for span in page.inline if re.match(r"edge-tdn(-export|-train)? \S", span)]
OPTION = re.compile(r"--[a-z][\w-]*")


def reason(command: str) -> str:
    """Return why a command is not run, or an empty string."""
    return next((why for pattern, why in NOT_RUN.items() if re.fullmatch(pattern, command)), "")


WALKED = [page for page in PAGES if any(not reason(command) for command in page.commands)]


def test_there_are_commands_to_test() -> None:
    """The parametrised tests below would pass on empty lists."""
    assert len(COMMANDS) >= 30
    typed = {invocation(command)[1] for command in README.commands if not reason(command)}
    assert {"demo", "check", "doctor", "run", "status", "watch"} <= typed


def test_every_shell_block_is_marked_as_sh() -> None:
    """Commands in blocks of any other language would not be tested."""
    languages = {block.language for page in PAGES for block in page.blocks}
    assert languages <= {"sh", "toml", "ini", "json", "python", "text", ""}


def test_comments_of_a_block_are_not_commands() -> None:
    text = "edge-tdn watch --topic 'a/#'    # a comment\n# only a comment\n\nedge-tdn check\n"
    assert Block("sh", text).commands == ["edge-tdn watch --topic 'a/#'", "edge-tdn check"]
    assert Block("json", text).commands == []


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ('.venv/bin/edge-tdn record --label "door open"', ["edge-tdn", "record", "--label", "door open"]),
        ("sudo edge-tdn-export inspect m", ["edge-tdn-export", "inspect", "m"]),
        ("sudo systemctl restart edge-tdn", []),
    ],
)
def test_a_call_of_a_program_is_recognised(command: str, words: list[str]) -> None:
    assert invocation(command) == words


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=lambda value: getattr(value, "name", value))
def test_every_command_is_accepted_by_its_parser(page: Page, command: str) -> None:
    if words := invocation(command):
        PROGRAMS[words[0]].parse_args(words[1:])


def test_every_listed_command_occurs() -> None:
    """A pattern that matches nothing would hide a command that is written again."""
    commands = [command for _, command in COMMANDS]
    unused = [pattern for pattern in NOT_RUN if not any(re.fullmatch(pattern, one) for one in commands)]
    assert unused == []


def test_the_named_tests_exist() -> None:
    for path in re.findall(r"tests/[\w/.]+", " ".join(NOT_RUN.values())):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", WALKED, ids=lambda page: page.name)
def test_the_commands_of_a_page_run_one_after_the_other(page: Page, reader: Reader) -> None:
    for block in page.blocks:
        reader.save(block)
        for command in block.commands:
            if not reason(command):
                reader.type(command)


@pytest.mark.parametrize("target", TARGETS)
def test_every_make_target_exists(target: str) -> None:
    assert re.search(rf"^(?:[\w -]+ )?{target}(?: [\w -]+)?:", (ROOT / "Makefile").read_text(), re.M)


@pytest.mark.parametrize(("page", "span"), SPANS, ids=lambda value: getattr(value, "name", value))
def test_commands_in_the_text_have_such_options(page: Page, span: str) -> None:
    """A span such as `edge-tdn check --config FILE` names a command, and options that it has."""
    program, *words = span.split()
    parser = PROGRAMS[program]
    commands = command_parsers(parser)
    command = next((word for word in words if not word.startswith("-")), "COMMAND")
    if command != "COMMAND":
        assert command in commands, f"{page.name}: {span}"
        parser = commands[command]
    known = {option for action in parser._actions for option in action.option_strings}
    assert set(OPTION.findall(span)) <= known, f"{page.name}: {span}"


@pytest.fixture
def reader(tmp_path: Path, broker: Mosquitto) -> Iterator[Reader]:
    reader = Reader(tmp_path, broker.url)
    yield reader
    reader.close()
