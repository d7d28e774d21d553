"""Files that stand where a part of a model should be: the usual results of a download or a copy that went wrong."""

import re

HEAD_BYTES = 1024  # of a file's beginning, enough for these functions
PAGE = re.compile(rb"<(!doctype|html|head|body|script|meta|!--)", re.IGNORECASE)
XHTML = re.compile(rb"<(!doctype html|html)\b", re.IGNORECASE)
FORMATS = (  # beginning of the file, name of its format
    (rb"\x1f\x8b", "compressed with gzip; unpack it"),
    (rb"BZh[1-9]1AY&SY", "compressed with bzip2; unpack it"),
    (rb"\xfd7zXZ\x00", "compressed with xz; unpack it"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it"),
    (rb"Rar!\x1a\x07", "a RAR archive; unpack it"),
    (rb"\x08[\x01-\x20][\x12\x1a\x22\x28\x32\x3a\x42]", "an ONNX model; give the PyTorch weights that it was made of"),
    (rb"(?s)<\?xml.{,200}<net\b", "an OpenVINO model; give the PyTorch weights that it was made of"),
    (rb"\x89HDF\r\n", "an HDF5 file, as Keras writes it; give PyTorch weights"),
    (rb"GGUF", "a GGUF file; give PyTorch weights"),
    (rb"(?s).{4}TFL3", "a TensorFlow Lite model; give PyTorch weights"),
    (rb"\x93NUMPY", "a NumPy array; give PyTorch weights"),
    (rb"%PDF-", "a PDF document; give PyTorch weights"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8", "a picture; give PyTorch weights"),
    (rb"(?s).{4}ftyp|\x1aE\xdf\xa3|RIFF", "a video; give PyTorch weights"),
)


def failed_copy(head: bytes) -> str:
    """Return what a file with this beginning is if it is not the file itself, and what to do; empty: no such sign."""
    if not head:
        return "is empty; download or copy it again"
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        return "is a Git LFS pointer, not the file itself; fetch the file with `git lfs pull`"
    if head.startswith(b"/annex/objects/") or b".git/annex/objects/" in head[:200]:
        return "is a git-annex pointer, not the file itself; fetch the file with `git annex get`"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if PAGE.match(text) or (text.startswith(b"<?xml") and XHTML.search(text)):
        return "is a web page, not the file itself; download it again, from the link to the raw file"
    if text.startswith(b"<?xml") and re.search(rb"<(error|code|message)>", text, re.IGNORECASE):
        return "is an error message of the server, not the file itself; download it again"
    if not any(head):
        return "begins with nothing but zeros, as after an interrupted download; download or copy it again"
    return ""


def other_format(head: bytes) -> str:
    """Return the format of a file with this beginning, and what to do, where it holds no weights; empty: unknown."""
    return next((f"is {name}" for beginning, name in FORMATS if re.match(beginning, head)), "")
