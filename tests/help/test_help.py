"""The help of every command of all three programs: complete, 80 columns wide, and with examples that work."""

import re
import shlex
from collections.abc import Iterator

import pytest
from edge_tdn_export.__main__ import COMMANDS as EXPORT_COMMANDS
from edge_tdn_training.__main__ import COMMANDS as TRAIN_COMMANDS

from edge_tdn.cli.command_line import COMMANDS
from edge_tdn.help.command_help import Example, wrapped
from edge_tdn.help.parser import Parser, arguments_of, command_parsers, command_summaries
from tests.support.programs import PROGRAMS

HELPS = [
    *((name, "", program) for name, program in PROGRAMS.items()),
    *((name, command, own) for name, program in PROGRAMS.items() for command, own in command_parsers(program).items()),
]
every_help = pytest.mark.parametrize(
    ("program", "command", "own"), HELPS, ids=lambda v: v if isinstance(v, str) else ""
)
EXAMPLES = [(name, command, example) for name, command, own in HELPS for example in own.command_help.examples]
INVOCATION = re.compile(r"(?:^|[(&|] ?)(edge-tdn(?:-export|-train)?) ([^|&>)]*)")
TORCHRUN = re.compile(r"^torchrun .* -m edge_tdn_training (.*)")


def printed(own: Parser, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what `--help` prints on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        own.parse_args(["--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def invocations(line: str) -> Iterator[tuple[str, list[str]]]:
    """Return the program and its arguments, for each call of one of ours in a command line."""
    if found := TORCHRUN.match(line):
        yield "edge-tdn-train", shlex.split(found[1])
    for program, arguments in INVOCATION.findall(line):
        yield program, shlex.split(arguments)


def test_every_command_is_examined() -> None:
    """The parametrised tests would pass on empty lists."""
    names = {(program, command) for program, command, _ in HELPS}
    own = {module.__name__.rpartition(".")[2] for module in COMMANDS}
    assert names == {
        *((program, command) for program in PROGRAMS for command in ("", "completion", "man")),
        *(("edge-tdn", command) for command in own),
        *(("edge-tdn-export", command) for command in EXPORT_COMMANDS),
        *(("edge-tdn-train", command) for command in TRAIN_COMMANDS),
    }
    assert len(names) > 25


@every_help
def test_help_describes_shows_three_examples_and_lists_the_exit_statuses(
    program: str, command: str, own: Parser, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = printed(own, capsys, monkeypatch)
    shown = own.command_help
    assert shown
    assert len(re.findall(r"[.:] ", shown.description.replace("\n", " "))) >= 2, "it has two sentences or more"
    assert len(shown.examples) >= 3
    for example in shown.examples:
        assert "\n".join(wrapped(example.line)) in text
    assert {0, 2, 130} <= set(shown.statuses)
    statuses = text.partition("exit status:\n")[2].partition("\n\n")[0]
    assert [int(n) for n in re.findall(r"^  (\d+) +\S", statuses, re.M)] == sorted(shown.statuses)


@every_help
def test_help_fits_into_80_columns(
    program: str, command: str, own: Parser, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [line for line in printed(own, capsys, monkeypatch).splitlines() if len(line) > 80] == []


@every_help
def test_every_argument_is_explained(program: str, command: str, own: Parser) -> None:
    assert [argument.dest for argument in arguments_of(own) if not argument.help] == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_help_of_a_program_lists_every_command_with_a_sentence(
    program: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = printed(PROGRAMS[program], capsys, monkeypatch)
    for command, summary in command_summaries(PROGRAMS[program]).items():
        assert re.search(rf"^  {command} +{summary.split()[0]} ", text, re.M), command


@pytest.mark.parametrize(("program", "command", "example"), EXAMPLES, ids=lambda v: getattr(v, "line", v))
def test_examples_are_accepted_by_the_real_parsers(program: str, command: str, example: Example) -> None:
    """At least one call in an example is of the program that shows it; a shell reads the broken lines as one."""
    assert shlex.split("\n".join(wrapped(example.line)).replace("\\\n", "")) == example.words
    calls = list(invocations(example.line))
    assert calls, example.line
    for name, arguments in calls:
        options = PROGRAMS[name].parse_args(arguments)
        assert callable(options.run)


@every_help
def test_a_command_is_among_its_own_examples(program: str, command: str, own: Parser) -> None:
    assert own.command_help
    calls = [call for example in own.command_help.examples for call in invocations(example.line)]
    assert any(name == program and (not command or arguments[0] == command) for name, arguments in calls)


@pytest.mark.parametrize(
    ("program", "line", "message"),
    [
        ("edge-tdn", "dmeo", "edge-tdn: argument COMMAND: 'dmeo': did you mean 'demo'?; see `edge-tdn --help`"),
        ("edge-tdn", "check --confg x", "did you mean '--config'?; see `edge-tdn check --help`"),
        ("edge-tdn", "bench --precision FP16", "argument --precision: 'FP16': did you mean 'fp16'?"),
        ("edge-tdn", "simulate demo: --codec h256", "argument --codec: 'h256': did you mean 'h265'?"),
        ("edge-tdn", "status --protocol 3", "argument --protocol: '3': allowed: 5, 3.1.1"),
        ("edge-tdn-export", "quantise m", "edge-tdn-export: argument COMMAND: 'quantise': did you mean 'quantize'?"),
        ("edge-tdn-export", "convert a b --labels c --arch resnet-50", "did you mean 'resnet50'?"),
        ("edge-tdn-train", "fine-tune", "edge-tdn-train: argument COMMAND: 'fine-tune': did you mean 'finetune'?"),
        (
            "edge-tdn-train",
            "finetune --data c --out m --negative d --epoch 3 --holdout 1",
            "did you mean '--hold-out'?",
        ),
    ],
)
def test_a_misspelt_command_option_or_choice_gets_the_nearest(
    program: str, line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error is one line and names the help; the usage, which can be twenty lines, is not printed."""
    with pytest.raises(SystemExit) as ended:
        PROGRAMS[program].parse_args(line.split())
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_name_of_a_program_alone_prints_its_help(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        PROGRAMS[program].parse_args([])
    assert ended.value.code == 2
    assert capsys.readouterr().err == PROGRAMS[program].format_help()


def test_the_detailed_log_may_be_requested_before_or_after_the_command() -> None:
    for line in ("--verbose check", "check --verbose"):
        assert PROGRAMS["edge-tdn"].parse_args(line.split()).verbose
    assert not PROGRAMS["edge-tdn"].parse_args(["check"]).verbose
