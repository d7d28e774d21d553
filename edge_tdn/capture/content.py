"""The kind of a file, or of an HTTP answer, that is not a video, recognised from its first bytes."""

import codecs
import re

HEAD_BYTES = 4096  # enough for `not_video`
CONVERT = "convert an animation to a video first"
ADDRESS = "is this the address of the video stream itself?"
SIGNATURES = (  # first bytes: what begins with them. A picture would be decoded, but only once
    (rb"GIF8[79]a", f"a GIF picture or animation; {CONVERT}"),
    (rb"\x89PNG\r\n\x1a\n", f"a PNG picture or animation; {CONVERT}"),
    (rb"(?s)RIFF....WEBP", f"a WebP picture or animation; {CONVERT}"),
    (rb"(?s)....ftyp(?:avif|heic|heix|mif1)", "a HEIF picture"),
    (rb"II\x2a\x00|MM\x00\x2a", "a TIFF picture"),
    (rb"(?s)BM....\x00\x00\x00\x00", "a BMP picture"),
    (rb"%PDF-", "a PDF document"),
    (rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|\xfd7zXZ\x00|BZh[1-9]1AY&SY", "an archive; unpack it"),
    (rb"version https://git-lfs\.", "a pointer of Git LFS; run `git lfs pull`"),
)
PLAYED_TEXT = (  # text that GStreamer or FFmpeg plays, or follows to a video
    rb"#EXTM3U|YUV4MPEG2|ffconcat version|--|v=0\r?\n|(?s:<\?xml.*?)?<(?:MPD|SmoothStreamingMedia)\b"
)
HTML = rb"(?i)(?:<\?xml[^>]*>\s*)?(?:<!--(?s:.*?)-->\s*)*+<(?:!doctype\s+html|html|head|body|title|script)\b"
TEXT = ((rb"<", "an XML document"), (rb"[{\[]", "a JSON document"), (rb"", "a text file"))
CONTROL = bytes(set(range(32)) - set(b"\t\n\r\f\x1b"))  # in no text


def not_video(head: bytes, whole: bool = True) -> str:
    """Return what begins with `head` if that is not a video, and what to do; empty if it may be one.

    `whole`: these are HEAD_BYTES or all there is; otherwise only what no further byte can change is recognised.
    """
    for signature, what in SIGNATURES:
        if re.match(signature, head):
            return _sentence(what)
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if re.match(HTML, text):
        return _sentence("a web page")
    if not (whole and text and _is_text(head)) or re.match(PLAYED_TEXT, text):
        return ""
    return _sentence(next(what for form, what in TEXT if re.match(form, text)))


def not_stream(body: bytes) -> tuple[str, str]:
    """Return what an HTTP answer that begins with `body` is if it is not a video, or nothing; and what to do."""
    cause, _, remedy = not_video(body).partition("; ")
    return cause, remedy or ADDRESS


def _sentence(what: str) -> str:
    kind, separator, remedy = what.partition(";")
    return f"{kind}, not a video{separator}{remedy}"


def _is_text(head: bytes) -> bool:
    if head.translate(None, CONTROL) != head:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # which may end within a character
    except UnicodeDecodeError:
        return False
    return True
