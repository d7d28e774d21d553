"""Configuration files of test sites."""

from pathlib import Path


def write_site(folder: Path, url: str, *cameras: str, extra: str = "", host: str = "test") -> Path:
    """Write site.toml and return its path.

    `url` is the broker's, each of `cameras` the body of one [[camera]] table, `extra` further tables (or, before them,
    further keys of [broker]). Scores are published, and the outbox is beside the file.
    """
    tables = "".join(f"[[camera]]\n{camera}\n" for camera in cameras)
    path = folder / "site.toml"
    path.write_text(
        f'host = "{host}"\n[broker]\nurl = "{url}"\nscores = true\n{extra}\n[outbox]\nfolder = "outbox"\n{tables}'
    )
    return path


def write_camera(folder: Path, keys: str) -> Path:
    """Write a site.toml of nothing but one camera, and return its path. `keys`: TOML, from the third line on."""
    path = folder / "site.toml"
    path.write_text(f'[[camera]]\nname = "a"\n{keys}')
    return path
