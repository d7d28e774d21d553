"""The offline sampling of the published code."""


def published_frames(count: int, segments: int) -> list[list[int]]:
    """Return the numbers of the frames that each segment takes from the frames 0 .. count - 1."""
    tick = (count - 5 + 1) / segments
    return [[int(tick / 2 + tick * i) + j for j in range(5)] for i in range(segments)]
