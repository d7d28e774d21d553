"""The commands `completion` and `man` of every program: what a shell and `man` need to know, made from its parser."""

import logging
import sys
from collections.abc import Callable

from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.completion import SHELLS, completion
from edge_tdn.help.man_page import man_page
from edge_tdn.help.parser import Commands, Parser, add_command


def add_shell_commands(commands: Commands, whole: Callable[[], Parser]) -> None:
    """Add both commands. `whole` returns the parser of the program with all of its commands."""
    program = commands._prog_prefix.split()[0]
    parser = add_command(
        commands,
        "completion",
        lambda options: _print(completion(whole(), options.shell)),
        "print a completion script for bash, zsh or fish",
        _completion_help(program),
        log_level=logging.ERROR,
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    add_command(
        commands,
        "man",
        lambda options: _print(man_page(whole())),
        "print the manual page, for `man`",
        _man_help(program),
        log_level=logging.ERROR,
    )


def _print(text: str) -> int:
    sys.stdout.write(text)
    return 0


def _completion_help(program: str) -> CommandHelp:
    return CommandHelp(
        description=f"""\
Print a script with which the Tab key completes the commands, options, models and files of {program}. Load it in the
start file of your shell, or write it to where your shell looks for it; write it again after an update.
""",
        examples=(
            Example("bash, now", f"source <({program} completion bash)"),
            Example(
                "bash, for good",
                f"{program} completion bash >~/.local/share/bash-completion/completions/{program}",
            ),
            Example("zsh, for good: into a folder of $fpath", f"{program} completion zsh >~/.zfunc/_{program}"),
            Example("fish, for good", f"{program} completion fish >~/.config/fish/completions/{program}.fish"),
        ),
        exit_status={0: "printed"},
    )


def _man_help(program: str) -> CommandHelp:
    return CommandHelp(
        description="""\
Print the manual page of this program, which has the help of all of its commands. Packages install it; use this command
where it is not installed.
""",
        examples=(
            Example("read it", f"{program} man | man -l -"),
            Example("install it for all users, as root", f"{program} man >/usr/local/share/man/man1/{program}.1"),
            Example("read it in a browser", f"{program} man | groff -man -Thtml >{program}.html"),
        ),
        exit_status={0: "printed"},
    )
