"""The comment in a JPEG, as other programs read and write it."""

from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from edge_tdn.jpeg_comment import comment_in, with_comment

PICTURE = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)
JPEG = cv2.imencode(".jpg", PICTURE)[1].tobytes()


@pytest.mark.parametrize("comment", ["barn/front-door/9f2c61aa/1", "Größe", "", "x" * 60_000])
def test_other_programs_read_the_comment_and_the_same_picture(comment: str) -> None:
    jpeg = with_comment(JPEG, comment)
    assert comment_in(jpeg) == comment
    with Image.open(BytesIO(jpeg)) as image:
        assert image.info["comment"] == comment.encode()
        assert image.info["jfif"] == 257, "the header is still the first"
    assert (
        cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        == cv2.imdecode(np.frombuffer(JPEG, np.uint8), cv2.IMREAD_COLOR)
    ).all()


def test_the_comment_of_another_program_is_read() -> None:
    written = BytesIO()
    Image.fromarray(PICTURE).save(written, "JPEG", comment=b"by Pillow", exif=Image.Exif())
    assert comment_in(written.getvalue()) == "by Pillow"


@pytest.mark.parametrize("length", range(0, 60, 3))
def test_what_is_cut_off_or_no_jpeg_has_no_comment(length: int) -> None:
    assert comment_in(JPEG) == ""
    assert comment_in(with_comment(JPEG, "x" * 30)[:length]) in ("", *("x" * n for n in range(31)))
    assert comment_in(b"\xff\xd8" + b"\xff" * length) == ""
    assert comment_in(bytes(length)) == ""
