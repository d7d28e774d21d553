"""Files and answers that are not videos, recognised from their first bytes."""

import time

import pytest

from edge_tdn.capture.content import not_video


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"GIF89a\x40\x00", "a GIF picture or animation, not a video; convert an animation to a video first"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG picture or animation, not a video; convert"),
        (b"RIFF\x10\0\0\0WEBPVP8X", "a WebP picture or animation, not a video; convert"),
        (b"\0\0\0\x1cftypavif", "a HEIF picture, not a video"),
        (b"II*\0\x08", "a TIFF picture, not a video"),
        (b"BM\x36\x10\0\0\0\0\0\0", "a BMP picture, not a video"),
        (b"%PDF-1.7", "a PDF document, not a video"),
        (b"PK\x03\x04", "an archive, not a video; unpack it"),
        (b"\x1f\x8b\x08", "an archive, not a video; unpack it"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS, not a video; run `git lfs pull`"),
        (b"<!doctype html><title>x", "a web page, not a video"),
        (b"\xef\xbb\xbf \r\n<HTML lang=de>", "a web page, not a video"),
        (b"<!-- made by hand -->\n<html>", "a web page, not a video"),
        (b'<?xml version="1.0"?>\n<!DOCTYPE html>', "a web page, not a video"),
        (b'<?xml version="1.0"?>\n<Error/>', "an XML document, not a video"),
        (b'{"error": 17}', "a JSON document, not a video"),
        (b"[1, 2]", "a JSON document, not a video"),
        ("zu viele Zuschauer: größer als 4".encode(), "a text file, not a video"),
        ("größer".encode()[:4], "a text file, not a video"),  # cut within a character
    ],
)
def test_what_is_not_a_video_is_named(head: bytes, what: str) -> None:
    assert not_video(head).startswith(what)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xff\xd8\xff\xe0\0\x10JFIF",  # or MJPEG
        b"\0\0\0\x18ftypmp42",
        b"RIFF\x10\0\0\0AVI LIST",
        b"\x1aE\xdf\xa3",  # Matroska
        b"\0\0\0\x01\x67",  # H.264
        b"G@\0\x10",  # MPEG-TS
        b"OggS\0\x02",
        b"--next\r\nContent-Type: image/jpeg\r\n\r\n",  # MJPEG in a file
        b"#EXTM3U\n#EXT-X-VERSION:3\n",  # HLS
        b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011">',  # DASH
        b"YUV4MPEG2 W64 H48 F30:1\nFRAME\n",
        b"ffconcat version 1.0\nfile 'a.mp4'\n",
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n",  # SDP
        b"text \0 and binary",
        "größer".encode("latin-1"),
    ],
)
def test_what_may_be_a_video_is_left_to_the_decoder(head: bytes) -> None:
    assert not_video(head) == ""


@pytest.mark.parametrize("head", [b"{", b"busy", b"<", b"<?xml"])
def test_the_beginning_of_a_text_may_still_become_a_video(head: bytes) -> None:
    """More bytes may follow: a playlist, a boundary."""
    assert not_video(head, whole=False) == ""


@pytest.mark.parametrize("head", [b"<html>", b"GIF89a"])
def test_a_signature_is_enough_before_the_rest_has_arrived(head: bytes) -> None:
    assert not_video(head, whole=False) != ""


@pytest.mark.parametrize(
    "head", [b"<!---->" * 585, b"<!-- -->" * 511 + b"<x", b"<?xml " + b" " * 4000, b"<?xml?>" * 580, b"--" * 2048]
)
def test_no_head_takes_long(head: bytes) -> None:
    """A server may send anything: the time must not grow with more than the square of the head."""
    began = time.process_time()
    for size in range(0, len(head), 512):
        not_video(head[size:])
    assert time.process_time() - began < 20
