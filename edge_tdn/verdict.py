"""The verdict on one precision of a model after a comparison with PyTorch, in the words of every command and page.

equal           in full precision, within the limits: logits within 1e-4 of the largest, same labels and events
within limits   in any other precision, within its limits
outside limits  a limit is exceeded
too few clips   within the limits, but on fewer than MIN_CLIPS clips or MIN_RECORDINGS recordings
"""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Context
from enum import StrEnum

from edge_tdn.manifest import Model
from edge_tdn.shell import command

MIN_CLIPS, MIN_RECORDINGS = 50, 3
FULL_PRECISIONS = ("fp32", "onnx", "cuda-fp32")
NOT_COMPARED = "not compared"  # the words for a precision without a verdict


class Verdict(StrEnum):
    EQUAL = "equal"
    WITHIN = "within limits"
    OUTSIDE = "outside limits"
    TOO_FEW = "too few clips"


@dataclass(frozen=True)
class Claim:
    """What may be stated about a precision, with the evidence for it."""

    precision: str
    within_limits: bool
    clips: int
    recordings: int | None  # held-out ones that the clips are of; None: not recorded
    differing: int = 0  # recordings whose events differ

    @property
    def verdict(self) -> Verdict:
        if not self.within_limits:
            return Verdict.OUTSIDE
        if self.clips < MIN_CLIPS or (self.recordings or 0) < MIN_RECORDINGS:
            return Verdict.TOO_FEW
        return Verdict.EQUAL if self.precision in FULL_PRECISIONS else Verdict.WITHIN

    @property
    def holds(self) -> bool:
        """True if the precision may serve in place of PyTorch."""
        return self.verdict in (Verdict.EQUAL, Verdict.WITHIN)

    @property
    def evidence(self) -> str:
        """Return the number of clips and recordings, and of those whose events differ."""
        of = _counted(self.recordings, "recording") if self.recordings else "no known held-out recording"
        recordings = ", recordings not recorded" if self.recordings is None else f" of {of}"
        parts = [_counted(self.clips, "clip") + recordings]
        if self.differing:
            among = f"{self.differing} of them" if self.recordings else _counted(self.differing, "recording")
            parts.append(f"other events in {among}")
        if self.verdict is Verdict.TOO_FEW:
            parts.append(f"at least {MIN_CLIPS} of {MIN_RECORDINGS} are needed")
        return ", ".join(parts)

    def __str__(self) -> str:
        """Return the verdict and its evidence: `within limits: 142 clips of 16 recordings`."""
        return f"{self.verdict}: {self.evidence}"


def recorded_claim(model: Model, name: str) -> Claim | None:
    """Return the claim that the manifest supports for the build `name`; None: it was never compared."""
    parity = model.manifest.parity.get(name)
    if parity is None:
        return None
    differing = parity.differing or int(not parity.same_events)
    return Claim(name, parity.within_limits, parity.clips, parity.recordings, differing)


def recorded_comparison(model: Model, name: str) -> str:
    """Describe the comparison of the build `name` that the manifest records: verdict, evidence and figures."""
    claim = recorded_claim(model, name)
    parity_command = command("edge-tdn-export", "parity", model.folder, "--clips", "VIDEOS")
    if claim is None:
        return f"{NOT_COMPARED} with PyTorch; `{parity_command}` does it"
    parity = model.manifest.parity[name]
    error = (
        "not finite"
        if parity.max_logit_error is None
        else f"within {rounded_up(parity.max_logit_error)} of the largest"
    )
    again = f"; compare again with `{parity_command}`" if claim.recordings is None else ""
    return (
        f"{claim}; compared with PyTorch on {parity.device}, {parity.checked_at[:10]}: logits {error}, "
        f"top-1 agreement {percent(parity.top1_agreement)}{again}"
    )


def percent(share: float) -> str:
    """Format a share, 0 to 1. 100.0% means all: a lower share is never rounded up to it."""
    return f"{share if share >= 1 else min(share, 0.999):.1%}"


def rounded_up(figure: float) -> str:
    """Format a figure that is not exceeded, with two digits: never below it."""
    return f"{float(Context(prec=2, rounding=ROUND_CEILING).create_decimal(repr(float(figure)))):.2g}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
