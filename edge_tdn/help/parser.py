"""A command-line parser that suggests the nearest spelling, and the commands of a program."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeAlias

from edge_tdn.help.command_help import USAGE, CommandHelp
from edge_tdn.spelling import hint, nearest

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
Run = Callable[[argparse.Namespace], int]


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Prints commands like arguments, without a line above them."""

    def _format_action(self, action: argparse.Action) -> str:
        if isinstance(action, argparse._SubParsersAction):
            return "".join(map(self._format_action, action._get_subactions()))
        return super()._format_action(action)


class Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are one line with a suggestion, and that knows the help it was made from."""

    def __init__(self, *, command_help: CommandHelp | None = None, **options: Any) -> None:
        self.command_help = command_help
        if command_help:
            options |= {"description": command_help.above_options(), "epilog": command_help.below_options()}
        super().__init__(formatter_class=_Formatter, **options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Report what is unknown here, where the options of the command are known."""
        if self._subparsers and not (sys.argv[1:] if args is None else args):
            self.print_help(sys.stderr)  # the name of the program alone is a question
            sys.exit(USAGE)
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = [option for action in self._actions for option in action.option_strings]
            suggestion = hint(unknown[0].partition("=")[0], options)
            self.error(f"unrecognized arguments: {' '.join(unknown)}{f'; {suggestion}' if suggestion else ''}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Print one line without the usage, which would hide it, and exit."""
        sys.stderr.write(f"{self.prog}: {message}; see `{self.prog} --help`\n")
        sys.exit(USAGE)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            raise argparse.ArgumentError(action, f"{value!r}: {nearest(str(value), known)}")


def program(name: str, command_help: CommandHelp, version: str) -> tuple[Parser, Commands]:
    """Return the parser of a program, and its commands, to which `add_command` adds."""
    parser = Parser(prog=name, command_help=command_help)
    parser.add_argument("--version", action="version", version=f"{name} {version}")
    return parser, parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=Parser)


def add_command(
    commands: Commands, name: str, run: Run, summary: str, command_help: CommandHelp, **defaults: Any
) -> Parser:
    """Add a command that is carried out by `run`. `summary`: its line in the help of the program.

    `defaults` are further values in the parsed options.
    """
    parser = commands.add_parser(name, help=summary, command_help=command_help)
    parser.set_defaults(run=run, **defaults)
    return parser


def command_parsers(parser: argparse.ArgumentParser) -> dict[str, Parser]:
    """Return the parsers of a program's commands, by name."""
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return dict(commands.choices)


def command_summaries(parser: argparse.ArgumentParser) -> dict[str, str]:
    """Return the lines of a program's commands, by name."""
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return {action.dest: action.help or "" for action in commands._get_subactions()}


def arguments_of(parser: argparse.ArgumentParser) -> Sequence[argparse.Action]:
    """Return the arguments and options of a parser that users see, without its commands."""
    hidden = (argparse._SubParsersAction, argparse._HelpAction)
    return [a for a in parser._actions if not isinstance(a, hidden) and a.help != argparse.SUPPRESS]
