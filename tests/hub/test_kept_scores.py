"""The scores of a zone that are kept, and what they are when they are read."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_tdn.actions.decider import Decider, Origin
from edge_tdn.hub.kept_scores import MAX_LABELS, MAX_SECONDS, REST, KeptScores, max_rows, row_bytes
from edge_tdn.manifest import Model
from edge_tdn.messages import NS_PER_S, ActionEvent, EndReason, Scores
from tests.support.actions import MODEL
from tests.support.clips import clip_at, keep_all
from tests.support.decisions import LABELS, prompt_config
from tests.support.fakes import SPEC

MANY = tuple(f"label {number}" for number in range(174))
ORIGIN = Origin("here", "door", "b007", MODEL)
Row = Scores | EndReason

rows_of_few = st.lists(
    st.one_of(
        st.lists(st.floats(-8, 8, width=32), min_size=len(LABELS), max_size=len(LABELS)),
        st.sampled_from(["stream_lost", "disabled", "video_ended"]),
    ),
    max_size=60,
)
rows_of_many = st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1)), min_size=1, max_size=40)


def events(rows: list[Row], labels: tuple[str, ...], background: tuple[str, ...]) -> list[ActionEvent]:
    decider = Decider(prompt_config(smoothing_s=0.5, min_length_s=0.2, merge_gap_s=0.4), ORIGIN, labels, background)
    found = []
    for row in rows:
        found += decider.break_off(row) if isinstance(row, str) else decider.push(row)
    return found


def without_breaks_at_the_start(rows: list[Row]) -> list[Row]:
    first = next((number for number, row in enumerate(rows) if not isinstance(row, str)), len(rows))
    return rows[first:]


@given(rows_of_few)
@settings(deadline=None, max_examples=50)
def test_the_kept_clips_give_the_same_events(given_rows: list[list[float] | EndReason]) -> None:
    rows: list[Row] = [row if isinstance(row, str) else clip_at(n, row) for n, row in enumerate(given_rows)]
    clips = keep_all(rows)
    found = [event.model_copy(update={"window": None}) for event in events(list(clips.rows()), LABELS, ("still",))]
    assert found == [event.model_copy(update={"window": None}) for event in events(rows, LABELS, ("still",))]


@given(rows_of_many, st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_of_many_labels_the_kept_ones_give_the_same_events(course: list[tuple[int, float]], seed: int) -> None:
    """One label is high, some others are not small, the rest is."""
    random = np.random.default_rng(seed)
    rows: list[Row] = []
    for number, (label, share) in enumerate(course):
        logits = random.normal(-8, 0.5, len(MANY))
        logits[:20] = random.normal(-2, 0.5, 20)
        logits[label] = 6 * share
        rows.append(clip_at(number, list(logits)))
    clips = keep_all(rows, MANY)
    assert clips.labels == (*MANY, REST)
    found, expected = events(list(clips.rows()), clips.labels, (REST,)), events(rows, MANY, ())
    assert [(event.type, event.label, event.started_at) for event in found] == [
        (event.type, event.label, event.started_at) for event in expected
    ]
    for one, other in zip(found, expected, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-4)


def test_the_probabilities_of_the_labels_that_are_kept_are_exact() -> None:
    logits = np.random.default_rng(7).normal(0, 3, len(MANY))
    (scores,) = keep_all([clip_at(0, list(logits))], MANY).rows()
    assert not isinstance(scores, str)
    exact = np.exp(logits) / np.exp(logits).sum()
    found = np.exp(scores.logits) / np.exp(scores.logits).sum()
    best = np.argsort(-logits)[:MAX_LABELS]
    np.testing.assert_allclose(found[best], exact[best], atol=1e-6)
    assert found[:-1].sum() == pytest.approx(exact[best].sum(), abs=1e-6)


def test_a_clip_is_kept_with_its_times(motion: Model) -> None:
    spec = motion.manifest.input
    clip = clip_at(5, [1.0, 2.0, 3.0], spec)
    (found,) = keep_all([clip], spec=spec).rows()
    assert not isinstance(found, str)
    for time_of in ("from_ns", "newest_ns", "to_ns", "wall_ns", "received_ns", "frames"):
        assert getattr(found, time_of) == getattr(clip, time_of)
    np.testing.assert_array_equal(found.logits, clip.logits)


def test_the_oldest_clips_leave_and_a_break_is_kept_once() -> None:
    rows: list[Row] = [clip_at(0, [1, 0, 0]), "stream_lost", "shutdown", *(clip_at(n, [n, 0, 0]) for n in range(1, 4))]
    read = list(keep_all(rows).rows())
    assert [row if isinstance(row, str) else row.logits[0] for row in read] == [1, "stream_lost", 1, 2, 3]
    newest = keep_all([clip_at(n, [n, 0, 0]) for n in range(10)], max_rows=4)
    assert [row.logits[0] for row in newest.rows() if not isinstance(row, str)] == [7, 8, 9]
    assert newest.seconds == pytest.approx(2 * SPEC.segment_s)


def test_nothing_is_kept_at_first() -> None:
    clips = keep_all(["stream_lost"])
    assert (len(clips), clips.seconds, list(clips.rows())) == (0, 0.0, [])


def test_a_reader_beside_the_runtime_thread_never_sees_a_row_of_two_clips() -> None:
    """Every clip has its number in all of its values."""
    kept = KeptScores(LABELS, SPEC, 16)
    ended = threading.Event()

    def write() -> None:
        number = 0
        while not ended.is_set():
            kept.scored(clip_at(number, [float(number)] * len(LABELS)))
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(300):
            for row in kept.read().rows():
                assert not isinstance(row, str)
                number = round(row.to_ns / (SPEC.segment_s * NS_PER_S))
                assert list(row.logits) == [number] * len(LABELS)
    finally:
        ended.set()
        writer.join()


def test_five_minutes_are_kept_in_the_room_that_there_is(motion: Model) -> None:
    spec = motion.manifest.input
    rows = max_rows(len(motion.labels), spec, 1, 900_000)
    assert MAX_SECONDS <= rows * spec.segment_s < MAX_SECONDS + spec.segment_s
    assert max_rows(len(motion.labels), spec, 2, 900_000) == pytest.approx(rows / 2, abs=1)
    assert max_rows(174, spec, 1, 9_000) == 9_000 // row_bytes(174)
