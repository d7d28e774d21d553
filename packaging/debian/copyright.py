"""Print the copyright file of the Debian package: the project's licence, and those of the packages that it contains."""

import sys
from importlib.metadata import Distribution, distributions

HEAD = """\
edge-tdn, the programs and the model: Apache-2.0
The text is in /usr/share/common-licenses/Apache-2.0.

/usr/lib/edge-tdn/lib/python3.11/site-packages/edge_tdn/demo/people.mp4: CC-BY-4.0
"Sample videos" by the Intel IoT Developer Kit, https://github.com/intel-iot-devkit/sample-videos, cut and joined as
README.md in its folder says. The text of the licence is in LICENSE.people.CC-BY-4.0.txt in its folder.

/usr/lib/edge-tdn/lib/python3.11/site-packages/edge_tdn/web/static/vendor/uPlot.*: MIT
Copyright Leon Sorokin, https://github.com/leeoniya/uPlot. The text of the licence is LICENSE.uplot.txt in its folder.

/usr/lib/edge-tdn/lib/python3.11/site-packages contains these packages, as their authors publish them on PyPI. The
copyright and the licence of each, and of the libraries that it contains, are in its folder *.dist-info.

"""


def main(site: str) -> None:
    sys.stdout.write(HEAD)
    for found in sorted(distributions(path=[site]), key=lambda one: one.name.lower()):
        if found.name != "edge-tdn":
            sys.stdout.write(f"{found.name} {found.version}: {_licence(found)}\n")


def _licence(found: Distribution) -> str:
    """Return the name of a package's licence, by PEP 639 or the older fields."""
    fields = found.metadata
    classifiers = [one.rpartition(" :: ")[2] for one in fields.get_all("Classifier", []) if one.startswith("License")]
    named = fields.get("License-Expression") or ", ".join(classifiers) or fields.get("License") or ""
    lines = named.strip().splitlines()
    return lines[0] if lines else "see *.dist-info"


if __name__ == "__main__":
    main(*sys.argv[1:])
