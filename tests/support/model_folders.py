"""Edits of a model folder whose manifest then agrees with them, as a careful forger would make."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edge_tdn.manifest import LABELS, MANIFEST, Manifest, dump, records, seal, shipped_models

Content = dict[str, Any]  # a manifest as JSON has it


def edit_manifest(folder: Path, change: Callable[[Content], None]) -> None:
    """Change the manifest and renew its digest; a result that is not a valid manifest is written without one."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    try:
        path.write_bytes(dump(seal(Manifest.model_validate(content))))
    except ValidationError:
        path.write_text(json.dumps(content))


def rehash(folder: Path, name: str) -> None:
    """Renew size and hash of a changed file in the manifest."""
    record = records(folder, [name])[name].model_dump()

    def change(content: Content) -> None:
        content["files"][name] = record
        if name == "labels.txt":
            content["labels_sha256"] = record["sha256"]

    edit_manifest(folder, change)


def renamed_copy(folder: Path, model_id: str, labels: Mapping[str, str]) -> Path:
    """Copy the shipped model under another id. `labels`: that are renamed."""
    shutil.copytree(shipped_models() / "motion", folder)
    text = (folder / LABELS).read_text()
    for old, new in labels.items():
        text = text.replace(f"{old}\n", f"{new}\n", 1)
    (folder / LABELS).write_text(text)
    rehash(folder, LABELS)
    edit_manifest(folder, lambda content: content.update(id=model_id))
    return folder


def reseal(folder: Path, **changes: Any) -> Path:
    """Renew sizes and hashes of all files, damaged or not. `changes`: other fields of the manifest."""
    path = folder / MANIFEST
    manifest = Manifest.model_validate_json(path.read_bytes(), strict=False)
    files = records(folder, list(manifest.files))
    update = {"files": files, "labels_sha256": files[LABELS].sha256, **changes}
    path.write_bytes(dump(seal(manifest.model_copy(update=update))))
    return folder
