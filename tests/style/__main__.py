"""`python -m tests.style [PATH ...]`: print every finding of the rules, and a count for each rule."""

import argparse
from pathlib import Path

from tests.style import rules


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.style", description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, default=[*rules.PACKAGES.values()], metavar="PATH")
    checked = rules.sources(path.resolve() for path in parser.parse_args().paths)
    starts, docstrings = rules.fragments(checked)
    findings = {
        "word of the dialect": rules.dialect(checked),
        "docstring that begins with a fragment": starts,
        f"file above {rules.MAX_FILE_LINES} lines": rules.long_files(checked),
        f"class with more than {rules.MAX_ATTRIBUTES} attributes": rules.large_classes(checked),
        "class name that is used twice": rules.repeated_class_names(checked),
        "block that is not formatted": rules.unformatted(checked),
        "own import under TYPE_CHECKING": rules.hidden_imports(checked),
    }
    for rule, found in findings.items():
        for line in found:
            print(f"{line}  [{rule}]")
    for rule, found in findings.items():
        print(f"{len(found):5} x {rule}")
    print(f"{docstrings:5} docstrings in {len(checked)} files")


if __name__ == "__main__":
    main()
