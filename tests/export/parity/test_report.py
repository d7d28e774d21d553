"""Reports of parity: their contents, for any label, file name and number."""

import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from edge_tdn_export.limits import Limits
from edge_tdn_export.parity.plots import MAX_LABELS
from edge_tdn_export.parity.report import MAX_FLIPS, MAX_RECORDINGS, table, to_html, to_json
from edge_tdn_export.parity.result import (
    ComparedClip,
    EventLog,
    InputComparison,
    NodeError,
    ParityReport,
    PrecisionComparison,
)
from rich.console import Console

SCRIPT = "<script>alert(1)</script>"
LABELS = ("left", SCRIPT, "手を振る" * 20, "wave", "& more", "$x^2$", "_")
VIDEO = '"><img src=x onerror=alert(2)>.mp4'
NODES = (
    *(NodeError("encoder", name, 1e-6) for name in ("permute", "stdm.conv", "stdm/relu", "conv1", "bn1", "bn1/relu")),
    NodeError("encoder", "res2.0.conv1", 0.0),
    NodeError("head", "res3.0.ltdm/sub", 2e-5),
    NodeError("head", "res4.0.conv1", 0.5),
    NodeError("head", "linear/mean", 0.7),
)


def clips(recording: str, count: int, noise: float, classes: int = len(LABELS)) -> tuple[ComparedClip, ...]:
    """Clips whose first label is one label after the other; the exported logits have random errors of `noise`."""
    rng = np.random.default_rng(3)
    expected = (rng.normal(0, 0.5, (count, classes)) + 4 * np.eye(classes)[np.arange(count) % classes]).astype(
        np.float32
    )
    got = expected + rng.normal(0, noise, expected.shape).astype(np.float32)
    return tuple(
        ComparedClip(recording, 2 + n / 3, *logits) for n, logits in enumerate(zip(expected, got, strict=True))
    )


def flipped(recording: str, at_s: float, count: int) -> ComparedClip:
    thumbnails = tuple(np.full((20, 30, 3), 10 * n, np.uint8) for n in range(count))
    expected, got = np.zeros((2, len(LABELS)), np.float32)
    expected[1], got[3] = 2, 1
    return ComparedClip(recording, at_s, expected, got, thumbnails)


def comparison(precision: str = "fp32", **changes: object) -> PrecisionComparison:
    """Return a comparison on 60 clips of three recordings, within its limits, with the given changes."""
    scored = tuple(clip for name in "abc" for clip in clips(f"{name}.mp4", 20, 1e-6))
    usual = PrecisionComparison(
        precision=precision,
        device="CPU",
        limits=Limits(1e-4, 1.0, node_error=1e-3, same_events=True),
        nodes=tuple(replace(node, error=min(node.error, 1e-6)) for node in NODES),
        first_diverging=None,
        features={"h": 1.2e-6, "skip": 0.0},
        clips=scored,
        events=(EventLog("a.mp4", ("start wave", "end wave"), ("start wave", "end wave")),),
        max_logit_error=2.5e-6,
        top1_agreement=1.0,
        top5_agreement=1.0,
        mean_kl=1e-12,
        failures=(),
        size=98_700_000,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def failing() -> PrecisionComparison:
    return comparison(
        "bf16",
        limits=Limits(2e-2, 0.99, node_error=1e-1),
        nodes=NODES,
        first_diverging=NODES[8],
        clips=(*clips(VIDEO, 9, 0.01), flipped(VIDEO, 5.5, 8), flipped("b.mp4", 7.25, 3)),
        events=(
            EventLog("b.mp4", ("start left", "end left", f"start {SCRIPT}"), ("start left", "end left 2", "start _")),
            EventLog("c.mp4", (), ()),
        ),
        max_logit_error=0.31,
        top1_agreement=0.9996,
        mean_kl=0.125,
        failures=(f"logits: 0.31 off, allowed 0.02, in {VIDEO}", "second \x1b[31mfailure"),
    )


def report(*comparisons: PrecisionComparison, **changes: object) -> ParityReport:
    usual = ParityReport(
        model="kitchen-r50",
        network="resnet50, T = 8",
        labels=LABELS,
        checked_at="2025-11-23T01:20:00Z",
        tools={"torch": "2.13.0", "openvino": "2025.3"},
        clips_from=f"/videos/{VIDEO}",
        sampling_agrees=True,
        preprocessing=(
            InputComparison(VIDEO, frames=30, mean_error=0.2, max_error=3, decoder_error=0.11, logit_error=1e-4),
            InputComparison("b.mp4", frames=10, mean_error=0.6, max_error=4, decoder_error=0.22, logit_error=3e-4),
        ),
        comparisons=comparisons or (comparison(), failing()),
        skipped=("short.mp4: too short",),
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def printed(shown: ParityReport, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(table(shown))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class Page(HTMLParser):
    """The page as a browser parses it: elements, texts and plots."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._inside: list[str] = []
        self.feed(html)
        plots = (svg.replace("<svg", '<svg xmlns:xlink="x"', 1) for svg in re.findall(r"<svg.*?</svg>", html, re.S))
        self.plots = [ElementTree.fromstring(plot) for plot in plots]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside.append(tag)

    def handle_data(self, data: str) -> None:
        if data.strip() and self._inside[-1] != "style":
            self.texts.append(" ".join(data.split()))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def plot(self, title: str) -> list[str]:
        """Return the texts of the only plot with this title."""
        (found,) = [plot for plot in self.plots if plot.get("aria-label") == title]
        return [text for element in found.iter("text") for text in element.itertext()]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(to_html(report()))


def row(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


def test_table_has_verdicts_figures_and_failures() -> None:
    text = printed(report())
    assert row(text, "fp32").split() == ["fp32", "2.5e-06", "100.0%", "100.0%", "1.0e-12", "yes", "-", "98.7"]
    wrong = row(text, "bf16 ")
    assert "1 of 2" in wrong
    assert "res4.0.conv1" in wrong
    assert row(text, "60 clips").split() == ["60", "clips", "≤", "0.0001", "≥", "100%", "required"]
    assert "fp32  equal: 60 clips of 3 recordings\n" in "\n".join(line.rstrip() for line in text.splitlines())
    assert "bf16  outside limits: 11 clips of 2 recordings, other events in 1 of them" in text
    assert f"logits: 0.31 off, allowed 0.02, in {VIDEO}" in text
    assert "0.30 grey levels from Pillow on average, 4 at most" in text  # a mean over frames, not over recordings
    assert "same frames as published" in text
    assert "short.mp4: too short" in text


def test_agreement_below_1_is_never_shown_as_100_percent() -> None:
    assert "99.9%" in row(printed(report(failing())), "bf16 ")


def test_other_frames_than_published_are_reported() -> None:
    shown = report(sampling_agrees=False)
    assert "OTHER frames than published" in printed(shown)
    assert "OTHER frames" in to_html(shown)


@pytest.mark.parametrize("width", [80, 100])
def test_table_fits_a_terminal_and_a_pipe(width: int) -> None:
    text = printed(report(), width)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("outside limits") == 1
    assert text.count("equal") == 1
    assert "\x1b" not in text  # control characters of a failure are replaced


def test_json_is_strict_and_has_all_figures() -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    broken = replace(failing(), max_logit_error=float("nan"), features={"h": float("inf")})
    data = json.loads(to_json(report(comparison(), broken)), parse_constant=refuse)
    assert data["schema"] == 2
    assert data["tools"] == {"torch": "2.13.0", "openvino": "2025.3"}
    assert data["labels"] == list(LABELS)
    assert data["preprocessing"][1] == {
        "recording": "b.mp4",
        "frames": 10,
        "mean_error": 0.6,
        "max_error": 4,
        "decoder_error": 0.22,
        "logit_error": 3e-4,
    }
    fine, wrong = data["comparisons"]
    assert (fine["verdict"], wrong["verdict"]) == ("equal", "outside limits")
    assert (fine["recordings"], wrong["recordings"]) == (3, 2)
    assert (wrong["max_logit_error"], wrong["features"]) == (None, {"h": None})
    assert wrong["limits"] == {
        "max_logit_error": 0.02,
        "top1_agreement": 0.99,
        "node_error": 0.1,
        "mean_kl": None,
        "same_events": False,
    }
    assert wrong["nodes"][8] == wrong["first_diverging"] == {"graph": "head", "name": "res4.0.conv1", "error": 0.5}
    assert wrong["failures"] == list(broken.failures)
    assert wrong["events"][0]["got"] == ["start left", "end left 2", "start _"]
    assert [clip["flips"] for clip in wrong["clips"]] == [False] * 9 + [True] * 2
    assert "thumbnails" not in wrong["clips"][-1]
    logits = fine["clips"][5]["expected"]
    assert logits == pytest.approx(comparison().clips[5].expected.tolist(), rel=5e-6)
    assert max(len(f"{abs(x):.9g}".replace(".", "").lstrip("0")) for x in logits) == 6


def test_page_loads_nothing_and_runs_nothing(page: Page) -> None:
    sources = [a[key] or "" for _, a in page.elements for key in ("src", "href", "xlink:href") if key in a]
    assert all(source.startswith(("data:image/", "#")) for source in sources)
    assert any(source.startswith("data:image/png") for source in sources)  # points of a scatter plot
    assert not page.all("script") + page.all("link")
    assert not [key for _, attributes in page.elements for key in attributes if key.startswith("on")]
    assert "http" not in to_html(report())


def test_labels_and_file_names_are_escaped(page: Page) -> None:
    for text in (*LABELS[:4], VIDEO, f"start {SCRIPT}", f"/videos/{VIDEO}"):
        assert text in page.texts
    assert len(page.all("img")) == 8 + 3


def test_page_has_every_section(page: Page) -> None:
    for heading in ("Verdict", "Logit error of every clip", "Inputs", "Videos without a clip"):
        assert page.texts.count(heading) == 1, heading
    for heading in ("Error per node", "Features of the encoder", "Logits", "Scores over time", "Flips", "Events"):
        assert page.texts.count(heading) == 2, heading
    for verdict in ("equal", "outside limits"):
        assert page.texts.count(verdict) == 3, verdict  # at the top, in the table and above its section
    figures = ("kitchen-r50", "resnet50, T = 8", "torch 2.13.0", "skip", "1.2e-06")
    evidence = ("60 clips of 3 recordings", "11 clips of 2 recordings, other events in 1 of them")
    for precision, text in zip(("fp32", "bf16"), evidence, strict=True):
        assert page.texts.count(f"{precision}: {text}") == 1
        assert page.texts.count(text) == 1
    for text in (*figures, "short.mp4: too short", *failing().failures):
        assert text in page.texts


def test_differing_events_are_a_warning_unless_they_are_a_limit() -> None:
    other = (EventLog("b.mp4", ("start left",), ("start wave",)),)
    exact, rounded = comparison(events=other), comparison("bf16", events=other, limits=Limits(2e-2, 0.99, 1e-1))
    shown = to_html(report(exact, rounded))
    assert shown.count('<span class="exceeded-text">1 of 1 differ</span>') == 1
    assert shown.count('<span class="warning-text">1 of 1 differ</span>') == 1
    assert "bf16: 60 clips of 3 recordings, other events in 1 of them" in Page(shown).texts


def test_too_few_clips_are_the_verdict_at_the_top_in_the_table_and_above_the_section() -> None:
    few = report(comparison("int8", clips=clips("a.mp4", 5, 0.01)))
    shown = Page(to_html(few))
    assert shown.texts.count("too few clips") == 3
    evidence = "5 clips of 1 recording, at least 50 of 3 are needed"
    assert f"int8: {evidence}" in shown.texts
    assert evidence in shown.texts
    assert f"too few clips: {evidence}" in printed(few)
    assert json.loads(to_json(few))["comparisons"][0]["verdict"] == "too few clips"


def test_plot_of_nodes_names_stages_limit_and_first_diverging_node(page: Page) -> None:
    texts = page.plot("Error per node of bf16")
    assert {"encoder", "head", "input", "stdm", "res1", "res2", "res3", "res4", "linear", "limit 0.1"} <= set(texts)
    assert "first above the limit: res4.0.conv1, 5.0e-01" in texts
    assert "limit 0.001" in page.plot("Error per node of fp32")
    assert not [text for text in page.plot("Error per node of fp32") if text.startswith("first")]


def test_texts_of_plots_are_escaped() -> None:
    node = NodeError(SCRIPT, SCRIPT, 1.0)
    shown = Page(to_html(report(comparison(f"fp32{SCRIPT}", nodes=(node,), first_diverging=node))))
    assert SCRIPT in shown.plot(f"Error per node of fp32{SCRIPT}")
    assert not shown.all("script")


def test_flip_shows_both_labels_with_both_scores(page: Page) -> None:
    at = page.texts.index(", until 7.25 s")
    scores = np.exp([2, 1]) / (np.exp([2, 1]) + len(LABELS) - 1)
    sure, drawn = (f"{score:.1%}" for score in scores)
    others = [f"{1 / (np.exp(x) + len(LABELS) - 1):.1%}" for x in (2, 1)]
    assert page.texts[at + 1 : at + 9] == ["PyTorch", "bf16", SCRIPT, sure, others[1], "wave", others[0], drawn]


def test_differing_lines_of_event_logs_are_marked() -> None:
    marked = re.findall(r"<tr class=differs><td>(.*?)</td><td>(.*?)</td>", to_html(report()))
    assert marked == [("end left", "end left 2"), ("start &lt;script&gt;alert(1)&lt;/script&gt;", "start _")]


def test_page_shows_the_worst_recordings_leading_labels_and_surest_flips() -> None:
    many = [scored for n in range(9) for scored in clips(f"{n}.mp4", 7, 0.02 * (n + 1))]
    unsure = replace(flipped("8.mp4", 1, 1), expected=np.float32([0, 0.1, 0, 0, 0, 0, 0]))
    flips = [unsure, *(flipped("8.mp4", 30 + n, 1) for n in range(MAX_FLIPS + 4))]
    shown = Page(to_html(report(comparison("int8", clips=(*many, *flips)))))
    drawn = [title for title in shown.texts if re.fullmatch(r"\d\.mp4", title)]
    assert drawn[:MAX_RECORDINGS] == ["8.mp4", "7.mp4", "6.mp4", "5.mp4", "4.mp4", "3.mp4"]
    assert len([plot for plot in shown.plots if "Scores" in plot.get("aria-label", "")]) == MAX_RECORDINGS
    assert shown.texts.count(f"and {len(LABELS) - MAX_LABELS} more") == MAX_RECORDINGS
    assert len(shown.all("img")) == MAX_FLIPS
    assert ", until 1.00 s" not in shown.texts
    assert any("5 more are in parity.json" in text for text in shown.texts)


def extreme(*logits: Sequence[float]) -> tuple[ComparedClip, ...]:
    """Return clips of two classes with PyTorch's logits 1 and 2."""
    return tuple(ComparedClip("a.mp4", n, np.float32([1, 2]), np.float32(got)) for n, got in enumerate(logits))


NAN, INF = float("nan"), float("inf")
EDGES = {
    "nothing compared": report(comparisons=(), preprocessing=(), skipped=(), tools={}),
    "no clip": report(comparison(clips=(), events=(), features={}), comparison(clips=())),
    "no node": report(comparison(nodes=())),
    "one node": report(comparison(nodes=NODES[:1])),
    "one class": report(comparison(clips=clips("a.mp4", 3, 0.1, classes=1)), labels=("only",)),
    "one clip": report(comparison(clips=clips("a.mp4", 1, 0.1))),
    "no error": report(
        comparison(clips=clips("a.mp4", 5, 0.0), nodes=tuple(replace(node, error=0.0) for node in NODES)),
        comparison(clips=clips("a.mp4", 5, 0.0), limits=Limits(None, 1.0, 1e-3), max_logit_error=0.0, mean_kl=0.0),
    ),
    "zeros": report(comparison(clips=(ComparedClip("a.mp4", 1, np.zeros(7, np.float32), np.zeros(7, np.float32)),))),
    "broken numbers": report(
        *(
            comparison(
                clips=extreme((NAN, NAN), (INF, 1), (-INF, 1), (1e30, -1e30), (1, 2))[:count],
                nodes=(*NODES, NodeError("head", "broken", NAN), NodeError("head", "broken/2", INF)),
                first_diverging=NodeError("head", "broken/2", INF),
                max_logit_error=NAN,
                mean_kl=INF,
                top1_agreement=NAN,
            )
            for count in (1, 5)
        )
    ),
    "a file name that is not UTF-8": report(comparison(clips=clips("\udc80.mp4", 2, 0)), clips_from="\udc80"),
    "unknown precision": report(comparison("int3")),
}


@pytest.mark.parametrize("name", EDGES)
def test_every_report_can_be_shown(name: str) -> None:
    shown = EDGES[name]
    found = Page(to_html(shown))
    "".join(found.texts).encode()
    assert found.texts.count("Scores over time") == sum(bool(c.clips) for c in shown.comparisons)
    paths = "".join(path.get("d", "") for plot in found.plots for path in plot.iter("path"))
    assert not re.search(r"(?i)\b(nan|inf)\b", paths)
    assert len(json.loads(to_json(shown).encode())["comparisons"]) == len(shown.comparisons)
    text = printed(shown)
    assert len(re.findall("^ *fp32|^ *bf16|^ *int3", text, re.M)) == 2 * len(shown.comparisons)
    assert ("no precision was compared" in text) == (not shown.comparisons)


def test_clips_that_are_not_finite_are_counted() -> None:
    assert "3 not finite" in Page(to_html(EDGES["broken numbers"])).plot("Logit error of every clip, by precision")


def test_divergence_is_finite_for_scores_of_0_and_nan_for_nan() -> None:
    certain, near, none, never = extreme((2000, -2000), (1, 2), (NAN, 1), (-INF, 1))
    assert certain.kl == pytest.approx(4000 / (1 + np.exp(-1)), rel=1e-3)
    assert [score.tolist() for score in certain.scores[1:]] == [[1, 0]]
    assert near.kl == 0
    assert np.isnan(none.kl)
    assert never.kl == INF


def test_eight_precisions_of_200_clips_stay_below_5_mb() -> None:
    rng = np.random.default_rng(0)
    nodes = tuple(NodeError("head", f"res4.{n}.conv1", 10 ** rng.uniform(-6, 0)) for n in range(700))
    noise = rng.integers(0, 256, (8, 10, 14, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    scored = [scored for n in range(8) for scored in clips(f"{n}.mp4", 25, 3.0, classes=174)]
    full = tuple(replace(clip, thumbnails=tuple(noise)) if clip.flips else clip for clip in scored)
    assert sum(clip.flips for clip in full) > MAX_FLIPS
    shown = report(*(comparison(f"p{n}", nodes=nodes, clips=full) for n in range(8)), labels=LABELS * 25)
    assert len(to_html(shown).encode()) < 5e6
