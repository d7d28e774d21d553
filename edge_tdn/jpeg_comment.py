"""The comment in a JPEG: a snapshot names its action there, on the broker and on disk."""

HEADER, COMMENT, SCAN = 0xE0, 0xFE, 0xDA  # markers: the JFIF header, a comment, the start of the picture's data


def with_comment(jpeg: bytes, comment: str) -> bytes:
    """Return the JPEG with a comment behind its header."""
    content = comment.encode()
    end = 4 + int.from_bytes(jpeg[4:6]) if jpeg[3] == HEADER else 2
    return jpeg[:end] + bytes((0xFF, COMMENT)) + (len(content) + 2).to_bytes(2) + content + jpeg[end:]


def comment_in(jpeg: bytes) -> str:
    """Return the first comment in a JPEG; empty if it has none, or if this is not a JPEG."""
    at = 2  # behind the marker at its start
    while jpeg[:2] == b"\xff\xd8" and at + 4 <= len(jpeg) and jpeg[at] == 0xFF and jpeg[at + 1] != SCAN:
        end = at + 2 + max(2, int.from_bytes(jpeg[at + 2 : at + 4]))
        if jpeg[at + 1] == COMMENT:
            return jpeg[at + 4 : end].decode(errors="replace")
        at = end
    return ""
