"""Lists of `path [frames] label`: TSN, TSM and TDN, mmaction2, PySlowFast, UCF101.

Fields are separated by blanks, tabs, commas or semicolons, which may also be within the path. `path#t=2.5,7` is the
part of a video from second 2.5 to 7.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_tdn.errors import ConfigError
from edge_tdn_export.lists.text import Line, excerpt, unquoted
from edge_tdn_export.lists.video_list import ListedVideo, Place, VideoList

SEPARATORS = " \t,;"
PART = re.compile(r"#t=([0-9.]*)(?:,([0-9.]+))?$")  # as a media fragment
UCF101 = re.compile(r"(?:.*[/\\])?([^/\\]+)[/\\]v_[^/\\]+_g[0-9]+_c[0-9]+(?:\.\w+)?")
EXPECTED = "expected: path, number of frames (optional), label as a number, one video per line"
MAX_DIGITS = 9


def read_numbered(path: Path, lines: Sequence[Line]) -> VideoList:
    """Parse the lines of a list. ConfigError: a line is wrong."""
    if all(UCF101.fullmatch(line) for _, line in lines):
        return _without_numbers(path, lines)
    videos = []
    several = 0
    for number, line in lines:
        where = f"{path}:{number}"
        named, label = _last_field(line)
        if not named or not _is_number(label):
            raise ConfigError(f"{where}: {excerpt(line)}; {EXPECTED}{_hint(line, number, len(lines))}")
        if not (places := tuple(_places(named, where))):
            raise ConfigError(f"{where}: {excerpt(line)}: an empty path; {EXPECTED}")
        videos.append(ListedVideo(where, places, int(label)))
        shorter, frames = _last_field(named)
        several += _is_number(frames) and _is_number(_last_field(shorter)[1])
    if all(any(UCF101.fullmatch(place.path) for place in video.places) for video in videos):
        return VideoList(path, "UCF101 list", tuple(videos))
    number, line = lines[0]
    doubt = (
        f"{path}:{number}: {excerpt(line)}: three numbers after the path, as in mmaction2's lists with several labels "
        f"or offsets, which are not read; {EXPECTED}"
    )
    return VideoList(path, "list of videos", tuple(videos), doubt=doubt if several == len(lines) else "")


def _without_numbers(path: Path, lines: Sequence[Line]) -> VideoList:
    """Return UCF101's list of test videos, which has no numbers: the folder of a video is its class."""
    videos = []
    for number, line in lines:
        found = UCF101.fullmatch(line)
        assert found
        videos.append(ListedVideo(f"{path}:{number}", tuple(map(Place, _spellings(line))), found[1]))
    classes = tuple(sorted({str(video.label) for video in videos}))
    return VideoList(path, "UCF101 list, classes by folder", tuple(videos), classes)


def _places(named: str, where: str) -> Iterator[Place]:
    """Yield where a video may be: file names may contain blanks and may end with a number, as if it were frames."""
    yield from _place(named, None, where)
    shorter, frames = _last_field(named)
    if shorter and _is_number(frames) and not PART.search(named):
        yield from _place(shorter, int(frames), where)


def _place(named: str, frames: int | None, where: str) -> Iterator[Place]:
    part = PART.search(named)
    try:
        from_s, to_s = (float(part[1] or 0), float(part[2]) if part[2] else None) if part else (0.0, None)
    except ValueError:
        from_s, to_s = 0.0, -1.0
    if to_s is not None and from_s >= to_s:
        raise ConfigError(f"{where}: {excerpt(named)}: not a part of a video; expected: #t=FROM,TO in seconds")
    for spelling in _spellings(named[: part.start()] if part else named):
        yield Place(spelling, frames, from_s, to_s)


def _spellings(named: str) -> list[str]:
    """Return a path as it is, without quotation marks, and with slashes for the backslashes of Windows."""
    plain = unquoted(named)
    return [path for path in dict.fromkeys((named, plain, plain.replace("\\", "/"))) if path.strip(" ./")]


def _last_field(text: str) -> tuple[str, str]:
    """Split the last field off; ("", text) if there is only one."""
    text = text.rstrip(SEPARATORS)
    at = max(map(text.rfind, SEPARATORS))
    if at < 0 or (text[at] == "," and re.search(r"#t=[0-9.]*$", text[:at])):
        return "", text
    return text[:at].rstrip(SEPARATORS), text[at + 1 :]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS


def _hint(line: str, number: int, lines: int) -> str:
    """Return what a wrong line may be, for its error."""
    fields = re.split(f"[{SEPARATORS}]+", line[:200])
    if _is_number(fields[0]) and len(fields) > 1:
        return "; here a number comes first: is it a file of labels, or is the label before the path?"
    if number == 1 and lines > 1 and any(field.lower() in ("path", "label", "video", "class") for field in fields):
        return "; remove the header line"
    if len(fields) == 1:
        return "; it has no label: a test set?"
    return ""
