"""MJPEG over HTTP in any form: the pictures are found by their own structure, not by what is written between them.

GStreamer takes multipart content apart if it begins with a boundary and if every part declares `image/jpeg`. Cameras
also leave out the first boundary or the headers, send a preamble, omit the dashes, or write `image/jpg` or a wrong
length.
"""

import re

MAX_HEAD_BYTES = 4096  # of a boundary and the headers of its part
MAX_PICTURE_BYTES = 16 << 20
PART = re.compile(rb"\s*--[^\r\n]+\r?\n((?:[^\r\n]+\r?\n)*)\r?\n")  # a boundary, headers and the empty line
CONTENT_TYPE = re.compile(rb"^content-type:[ \t]*([^\s;]+)", re.I | re.M)
CONTENT_LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,20})", re.I | re.M)
JPEG_TYPES = re.compile(r"image/(?:x-|p)*jpe?g", re.I)  # those that cameras write
START, END = b"\xff\xd8\xff", b"\xff\xd9"  # SOI and the beginning of the next marker; EOI
SOI, EOI, SOS, FILL = 0xD8, 0xD9, 0xDA, 0xFF
BARE = {0x00, 0x01, *range(0xD0, 0xDA), FILL}  # what has no length after it: TEM, RST0 to RST7, SOI, EOI, a fill byte
AFTER_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # a marker other than RST, which the compressed data may contain


class MjpegForm:
    """Passes on multipart content that GStreamer takes apart, and of any other the pictures. Used by one thread."""

    def __init__(self) -> None:
        self.regular: bool | None = None  # GStreamer takes it apart; None: too short to decide
        self.pictures = 0  # found in content that is not regular
        self._held = bytearray()  # until it is known which
        self._extractor = JpegExtractor()

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes, and return those to pass on: everything, or one picture each."""
        if self.regular is None:
            self._held += data
            self.regular = is_regular(self._held)
            if self.regular is None:
                return []
            data, self._held = bytes(self._held), bytearray()
        if self.regular:
            return [data]
        pictures = self._extractor.feed(data)
        self.pictures += len(pictures)
        return pictures


def is_regular(body: bytes | bytearray) -> bool | None:
    """Return whether GStreamer takes this multipart content apart; None if it is too short to decide."""
    begin = body[:MAX_HEAD_BYTES].lstrip()[:2]
    if begin != b"--"[: len(begin)]:
        return False
    part = PART.match(body)
    if part is None:
        return False if len(body) > MAX_HEAD_BYTES else None
    declared = CONTENT_TYPE.search(part[1])
    kind = declared[1].decode("latin-1").lower() if declared else ""
    if kind != "image/jpeg":
        return kind != "" and not is_jpeg(kind)
    length = CONTENT_LENGTH.search(part[1])
    if length is None:
        return True
    end = part.end() + int(length[1])
    if end > MAX_PICTURE_BYTES:
        return False
    return body[:end].endswith(END) if len(body) >= end else None


def is_jpeg(media_type: str) -> bool:
    """Return True for any of the names that cameras have for JPEG."""
    return JPEG_TYPES.fullmatch(media_type) is not None


class JpegExtractor:
    """Finds the JPEGs in a stream of bytes, in a time that grows with their number. Used by one thread."""

    def __init__(self) -> None:
        self._bytes = bytearray()  # from the beginning of a picture; before one is found, the last bytes
        self._position = 0  # in them: examined so far; 0: no picture has begun
        self._in_scan = False  # the position is within compressed data

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes, and return the pictures that they complete."""
        self._bytes += data
        pictures = []
        while (end := self._find_end()) is not None:
            picture = bytes(self._bytes[:end])
            pictures.append(picture if picture.endswith(END) else picture + END)
            self._drop(end)
        if len(self._bytes) > MAX_PICTURE_BYTES:  # not a picture
            self._drop(len(self._bytes))
        return pictures

    def _drop(self, count: int) -> None:
        """Drop the first bytes, and look for a picture in the others."""
        del self._bytes[:count]
        self._position, self._in_scan = 0, False

    def _find_start(self) -> bool:
        start = self._bytes.find(START)
        self._drop(start if start >= 0 else max(0, len(self._bytes) - len(START) + 1))
        self._position = 2 if start >= 0 else 0
        return start >= 0

    def _find_end(self) -> int | None:
        """Return where the first picture ends; None if that has not arrived."""
        while self._position or self._find_start():
            scanned = self._in_scan
            if scanned:
                found = AFTER_SCAN.search(self._bytes, self._position)
                if found is None:
                    self._position = max(self._position, len(self._bytes) - 1)
                    return None
                self._position, self._in_scan = found.start(), False
            marker = self._bytes[self._position : self._position + 4]
            if len(marker) < 2 or (marker[1] not in BARE and marker[0] == 0xFF and len(marker) < 4):
                return None
            if marker[1] == EOI:
                return self._position + 2
            if marker[1] == SOI and scanned:  # the next picture: this one lacks its end
                return self._position
            if marker[0] != 0xFF or marker[1] in (0, SOI):  # damaged
                self._drop(self._position)
            elif marker[1] in BARE:
                self._position += 1 if marker[1] == FILL else 2
            else:
                self._position += 2 + int.from_bytes(marker[2:])
                self._in_scan = marker[1] == SOS
        return None
