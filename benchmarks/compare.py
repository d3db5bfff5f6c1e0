"""Two results of one benchmark beside each other: the figures that both hold, and their ratio.

python benchmarks/compare.py benchmarks/results/ask-before.json benchmarks/results/ask-after.json
"""

import argparse
import json
from pathlib import Path
from typing import Any


def key(row: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """What a row is known by: its texts and whole numbers; the rest are figures."""
    return tuple((name, value) for name, value in row.items() if not isinstance(value, float))


def table(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The lines to print: where the machines differ, then a line a figure."""
    lines = [
        f"{name}: {before['machine'].get(name)} -> {value}"
        for name, value in after["machine"].items()
        if before["machine"].get(name) != value
    ]
    held = {key(row): row for row in before["rows"]}
    for row in after["rows"]:
        one = held.get(key(row))
        called = " ".join(f"{name}={value}" for name, value in key(row))
        if one is None:
            lines.append(f"{called}: only in the second")
            continue
        for name, value in row.items():
            if isinstance(value, float) and name in one:
                ratio = f"x {value / one[name]:.3f}" if one[name] else "-"
                lines.append(f"{called}  {name}: {one[name]:.4g} -> {value:.4g}  {ratio}")
    lines += [
        " ".join(f"{name}={value}" for name, value in known) + ": only in the first"
        for known in held.keys() - {key(row) for row in after["rows"]}
    ]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    given = parser.parse_args()
    both = [json.loads(path.read_text()) for path in (given.before, given.after)]
    print("\n".join(table(*both)))


if __name__ == "__main__":
    main()
