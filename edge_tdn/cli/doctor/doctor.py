"""`edge-tdn doctor`: tries once all that `run` would use, and says what is wrong and how to mend it.

site.py looks at the configuration, the model and the folders, broker.py at the broker, cameras.py at the cameras and
host.py at this machine. What one part needs of another that is broken is not tried; all else is.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge_tdn.cli.doctor import broker, cameras, host
from edge_tdn.cli.doctor.finding import Finding, Mark
from edge_tdn.cli.doctor.site import Site
from edge_tdn.cli.terminal import plain
from edge_tdn.errors import BrokerError, ConfigError, EdgeTdnError, SourceError, last_line
from edge_tdn.process.passwords import without_password

WIDEST = 110  # characters
MARKS: dict[Mark, tuple[str, str, str]] = {  # on a terminal, its style, and elsewhere
    "ok": ("✓", "green", "ok"),
    "note": ("·", "dim", "note"),
    "warning": ("!", "bold yellow", "WARNING"),
    "failed": ("✗", "bold red", "FAILED"),
}
GRAVEST = (ConfigError.exit_status, BrokerError.exit_status, SourceError.exit_status, EdgeTdnError.exit_status)


def doctor(console: Console, path: Path, as_json: bool) -> int:
    """Prints the checklist as it grows, or with `as_json` one document. The exit status: 0 where nothing has failed."""
    findings: list[Finding] = []
    with ExitStack() as stack:
        shown = not as_json and console.is_terminal and not console.is_dumb_terminal
        spinner = stack.enter_context(console.status("")) if shown else None
        for what, exit_status, examination in _examinations(path):
            if spinner:
                spinner.update(f"trying: {what} ...")
            for finding in _safely(what, exit_status, examination):
                findings.append(finding)
                if not as_json:
                    _print(console, finding)
    failed = {finding.exit_status for finding in findings if finding.mark == "failed"}
    status = next((one for one in GRAVEST if one in failed), 0)
    if as_json:
        document = {"exit_status": status, "findings": [dataclasses.asdict(finding) for finding in findings]}
        print(json.dumps(document, indent=1))  # noqa: T201  (plain, for pipes)
    else:
        console.print(_verdict(findings), soft_wrap=True)
    return status


def _examinations(path: Path) -> Iterator[tuple[str, int, Iterable[Finding]]]:
    """What is examined, the exit status where that breaks down, and its findings as they come."""
    site = Site(path)
    yield "configuration", ConfigError.exit_status, site.configuration()
    config = site.config
    if config:
        yield "model", ConfigError.exit_status, site.network(config)
        yield "folders", ConfigError.exit_status, site.folders(config)
        yield "broker", BrokerError.exit_status, broker.examine(config, site.access, site.holder)
        yield "cameras", SourceError.exit_status, cameras.examine(config, site.base, site.frame_rate)
    yield "clock", EdgeTdnError.exit_status, host.clock()
    yield "decoders", EdgeTdnError.exit_status, host.decoders(config)
    yield "devices", EdgeTdnError.exit_status, host.devices(config)
    yield "service", EdgeTdnError.exit_status, host.service(path)


def _safely(what: str, exit_status: int, examination: Iterable[Finding]) -> Iterator[Finding]:
    """Every text without passwords and control characters; and an examination that breaks down is one that failed."""
    try:
        for finding in examination:
            yield dataclasses.replace(finding, said=_clean(finding.said), remedy=_clean(finding.remedy))
    except Exception as error:  # whatever is broken on this machine, the others are still examined
        said = f"the examination broke down: {type(error).__name__}: {last_line(error)}"
        yield Finding(what, "failed", _clean(said), "", exit_status)


def _clean(text: str) -> str:
    return "\n".join(plain(line) for line in without_password(text).splitlines())


def _print(console: Console, finding: Finding) -> None:
    sign, style, word = MARKS[finding.mark]
    remedy = f"-> {finding.remedy}" if finding.remedy else ""
    if not console.is_terminal:
        for said in (finding.said, remedy):
            for line in said.splitlines():
                console.print(f"{word:8}{finding.what:20}{line}", soft_wrap=True)
        return
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(width=18)
    grid.add_column(ratio=1, overflow="fold")
    grid.width = min(console.width, WIDEST)
    grid.add_row(Text(sign, style), plain(finding.what), Text(finding.said, "dim" if finding.mark == "note" else ""))
    if remedy:
        grid.add_row("", "", Text(remedy, style))
    console.print(grid)


def _verdict(findings: list[Finding]) -> Text:
    failed = sum(finding.mark == "failed" for finding in findings)
    warned = sum(finding.mark == "warning" for finding in findings)
    if failed:
        return Text(f"{failed} failed, {warned} {'warning' if warned == 1 else 'warnings'}", "bold red")
    if warned:
        return Text(f"this host can serve; {warned} {'warning' if warned == 1 else 'warnings'}", "yellow")
    return Text("all is well", "green")
