"""The checklist: which parts are examined, in which order, and how the findings are printed.

If a part is broken, whatever depends on it is skipped; everything else is still examined.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge_tdn.cli.doctor import broker, cameras, host, units
from edge_tdn.cli.doctor.finding import Finding, Mark
from edge_tdn.cli.doctor.site import SiteExamination
from edge_tdn.cli.terminal import plain
from edge_tdn.cli.timing import DoctorTiming
from edge_tdn.errors import BrokerError, ConfigError, EdgeTdnError, SourceError, last_line
from edge_tdn.process.passwords import without_password

MAX_WIDTH = 110  # characters
MARKS: dict[Mark, tuple[str, str, str]] = {  # sign on a terminal, its style, and the word that replaces it elsewhere
    "ok": ("✓", "green", "ok"),
    "note": ("·", "dim", "note"),
    "warning": ("!", "bold yellow", "WARNING"),
    "failed": ("✗", "bold red", "FAILED"),
}
GRAVEST_FIRST = (ConfigError.exit_status, BrokerError.exit_status, SourceError.exit_status, EdgeTdnError.exit_status)


def print_checklist(console: Console, path: Path, timing: DoctorTiming) -> int:
    """Examine everything and print the findings as they come. Return the exit status."""
    findings: list[Finding] = []
    with ExitStack() as stack:
        animated = console.is_terminal and not console.is_dumb_terminal
        spinner = stack.enter_context(console.status("")) if animated else None
        for what, status, examination in _examinations(path, timing):
            if spinner:
                spinner.update(f"trying: {what} ...")
            for finding in _safely(what, status, examination):
                findings.append(finding)
                _print(console, finding)
    console.print(_verdict(findings), soft_wrap=True)
    return exit_status(findings)


def silently(path: Path, timing: DoctorTiming) -> list[Finding]:
    """Examine everything and return the findings."""
    return [
        finding
        for what, status, examination in _examinations(path, timing)
        for finding in _safely(what, status, examination)
    ]


def exit_status(findings: Iterable[Finding]) -> int:
    """Return that of the gravest failure; 0 if nothing has failed."""
    failed = {finding.exit_status for finding in findings if finding.mark == "failed"}
    return next((status for status in GRAVEST_FIRST if status in failed), 0)


def _examinations(path: Path, timing: DoctorTiming) -> Iterator[tuple[str, int, Iterable[Finding]]]:
    """Yield what is examined, the exit status if the examination itself fails, and its findings as they come."""
    site = SiteExamination(path, timing)
    yield "configuration", ConfigError.exit_status, site.configuration()
    config = site.config
    if config:
        yield "model", ConfigError.exit_status, site.networks(config, timing)
        yield "folders", ConfigError.exit_status, site.folders(config)
        yield "service's files", ConfigError.exit_status, site.files_of_service(config)
        yield "broker", BrokerError.exit_status, broker.examine(config, site.access, site.holder, timing)
        yield "metrics", ConfigError.exit_status, host.metrics(config, site.holder)
        yield "page", ConfigError.exit_status, host.page(config, site.holder)
        yield "cameras", SourceError.exit_status, cameras.examine(config, site.base, site.frame_rate, timing)
    yield "clock", EdgeTdnError.exit_status, host.clock()
    yield "decoders", EdgeTdnError.exit_status, host.decoders(config)
    yield "devices", EdgeTdnError.exit_status, host.devices(config)
    yield "service", EdgeTdnError.exit_status, units.service(path, timing)


def _safely(what: str, status: int, examination: Iterable[Finding]) -> Iterator[Finding]:
    """Yield findings without passwords and control characters; an examination that raises yields a failure."""
    try:
        for finding in examination:
            yield dataclasses.replace(finding, message=_clean(finding.message), remedy=_clean(finding.remedy))
    except Exception as error:  # so that the other parts are still examined
        message = f"the examination failed: {type(error).__name__}: {last_line(error)}"
        yield Finding(what, "failed", _clean(message), "", status)


def _clean(text: str) -> str:
    return "\n".join(plain(line) for line in without_password(text).splitlines())


def _print(console: Console, finding: Finding) -> None:
    sign, style, word = MARKS[finding.mark]
    remedy = f"-> {finding.remedy}" if finding.remedy else ""
    if not console.is_terminal:
        for text in (finding.message, remedy):
            for line in text.splitlines():
                console.print(f"{word:8}{finding.what:19} {line}", soft_wrap=True)
        return
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(width=18)
    grid.add_column(ratio=1, overflow="fold")
    grid.width = min(console.width, MAX_WIDTH)
    grid.add_row(Text(sign, style), plain(finding.what), Text(finding.message, "dim" if finding.mark == "note" else ""))
    if remedy:
        grid.add_row("", "", Text(remedy, style))
    console.print(grid)


def _verdict(findings: list[Finding]) -> Text:
    failed = sum(finding.mark == "failed" for finding in findings)
    warned = sum(finding.mark == "warning" for finding in findings)
    warnings = "1 warning" if warned == 1 else f"{warned} warnings"
    if failed:
        return Text(f"{failed} failed, {warnings}", "bold red")
    if warned:
        return Text(f"this host can serve; {warnings}", "yellow")
    return Text("all is well", "green")
