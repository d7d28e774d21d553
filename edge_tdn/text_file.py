"""Text files that users write: UTF-8, with or without a byte-order mark, with the line ends of any system."""

import codecs
import io

WIDE = {  # byte-order mark: encoding; the longest first
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def decode(raw: bytes) -> str:
    """Return the text of a file. Raises ValueError, which quotes nothing of it, with what the file is."""
    encoding = next((name for mark, name in WIDE.items() if raw.startswith(mark)), "")
    if encoding:
        raise ValueError(f"{encoding}, not UTF-8; save the file as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start}); save the file as UTF-8") from None


def first_line(raw: bytes) -> str:
    """Return the first line of a file, without its end. Raises ValueError, as `decode`, also if there is none."""
    text = decode(raw)
    if not text:
        raise ValueError("empty")
    if "\0" in text:
        raise ValueError("not UTF-8 text: it contains NUL characters; save the file as UTF-8")
    lines = io.StringIO(text, newline=None)  # translates the ends of lines
    line = lines.readline().removesuffix("\n")
    if not line and lines.read().strip():
        raise ValueError("empty in its first line")
    return line
