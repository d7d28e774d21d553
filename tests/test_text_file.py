"""Text files as editors and shells of several systems save them."""

import codecs

import pytest

from edge_tdn.text_file import decode, first_line


@pytest.mark.parametrize(
    "raw",
    [
        b"s3cret",
        b"s3cret\n",
        b"s3cret\r\n",  # Windows
        b"s3cret\r",  # macOS 9
        b"s3cret\nrest\n",
        codecs.BOM_UTF8 + b"s3cret",  # Windows Notepad, PowerShell
        codecs.BOM_UTF8 + b"s3cret\r\nrest\r\n",
    ],
)
def test_a_first_line_has_neither_mark_nor_end(raw: bytes) -> None:
    assert first_line(raw) == "s3cret"


def test_blanks_and_rare_characters_belong_to_the_line() -> None:
    """Only the ends of lines are taken off: a form feed or a line separator of Unicode is none."""
    assert first_line(" pass word \x0c\u2028ü\n".encode()) == " pass word \x0c\u2028ü"


@pytest.mark.parametrize("raw", [b"\n", b"\r\n", codecs.BOM_UTF8 + b"\n", b"\n \n"])
def test_an_empty_line_alone_is_an_empty_password(raw: bytes) -> None:
    assert first_line(raw) == ""


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty"),
        (codecs.BOM_UTF8, "empty"),
        (b"\ns3cret\n", "empty in its first line"),
        (codecs.BOM_UTF8 + b"\r\ns3cret", "empty in its first line"),
        (codecs.BOM_UTF16_LE + "s3cret\n".encode("utf-16-le"), "UTF-16, not UTF-8; save the file as UTF-8"),
        (codecs.BOM_UTF16_BE + "s3cret\n".encode("utf-16-be"), "UTF-16, not UTF-8; save the file as UTF-8"),
        ("s3cret\n".encode("utf-32"), "UTF-32, not UTF-8; save the file as UTF-8"),
        ("s3cret\n".encode("utf-16-le"), "not UTF-8 text: it contains NUL characters; save the file as UTF-8"),
        (b"s3cret\n\0\0\0\0", "not UTF-8 text: it contains NUL characters; save the file as UTF-8"),
        ("s3crét".encode("latin-1"), "not UTF-8 (byte 4); save the file as UTF-8"),
    ],
)
def test_another_encoding_is_named_and_nothing_of_the_file_is_quoted(raw: bytes, reason: str) -> None:
    with pytest.raises(ValueError) as error:
        first_line(raw)
    assert str(error.value) == reason
    assert error.value.__cause__ is None


def test_the_mark_of_utf_8_is_no_character_of_the_text() -> None:
    assert decode(codecs.BOM_UTF8 + "ü\n".encode()) == decode("ü\n".encode()) == "ü\n"
