"""The list of benchmarks, its documentation, and the published rows of others."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from vlm3.cli.benchmark_list import WIDTH as LIST_WIDTH
from vlm3.cli.benchmark_list import as_markdown
from vlm3.cli.main import main
from vlm3.errors import InputError
from vlm3.eval.benchmarks import benchmarks, read_entry
from vlm3.eval.report.published import flags, table

DOCS = Path(__file__).resolve().parents[2] / "docs" / "evaluation.md"


def test_the_list_fits_and_names_all() -> None:
    done = CliRunner().invoke(main, ["eval", "--list"])
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert LIST_WIDTH == 100 and max(map(len, lines)) <= 100
    assert {line.split()[0] for line in lines if line[0] != " "} >= set(benchmarks())
    told = json.loads(CliRunner().invoke(main, ["eval", "--list", "--json"]).output)
    assert [one["name"] for one in told] == list(benchmarks())
    for one in told:
        assert one["measures"] and one["source"] and one["licence"] and one["split"]
    for wrong, said in (
        (["eval"], "which benchmark"),
        (["eval", "ibims1", "--json"], "--json goes with --list"),
        (["eval", "ibims1", "--list"], "shows all benchmarks"),
    ):
        found = CliRunner().invoke(main, wrong)
        assert found.exit_code == 2 and said in found.output


def test_the_documentation_has_the_list() -> None:
    assert as_markdown() in DOCS.read_text(encoding="utf-8")


def test_published_rows_of_others_add_up_but_for_the_flags() -> None:
    nine = [c for c in table("depthvlm").columns if not c.startswith("Average")]
    five = table("depthvlm-dense").columns[:5]
    off = []
    for name, columns, mean, by in (
        ("depthvlm", nine, "Average", 6e-4),
        ("depthvlm", five, "Average of five", 6e-4),
        ("depthvlm-dense", five, "Average of five", 6e-4),
        ("vsibench", table("vsibench").columns[1:], "Avg.", 0.06),
    ):
        for row in table(name).rows:
            if mean in row.values:
                real = sum(row.values[c] for c in columns) / len(columns)
                off += [(name, row.name)] * (abs(real - row.values[mean]) > by)
    assert off == [("depthvlm", "UniDepthV2"), ("vsibench", "Chance (frequency)")]
    assert any("0.8222" in text for text in flags("depthvlm", ["UniDepthV2"], ["Average of five"]))
    # Every cell of ViewSpatial's is a whole number of right answers, and its means are theirs.
    counts = dict(zip(table("viewspatial").columns, (1773, 996, 0, 996, 842, 1105), strict=False))
    kinds = [c for c, n in counts.items() if n]
    for row in table("viewspatial").rows:
        for column in kinds:
            right = row.values[column] * counts[column] / 100
            assert abs(right - round(right)) < 0.1
        total = sum(row.values[c] * counts[c] for c in kinds) / sum(counts.values())
        assert total == pytest.approx(row.values["Overall"], abs=0.006)
    for name in ("depthvlm", "depthvlm-dense", "vsibench", "viewspatial", "omnispatial", "vrrpi"):
        assert "arXiv" in table(name).source and table(name).source != table("depth").source


ENTRY = {
    "title": "Mine",
    "tasks": ["depth"],
    "reader": "shards",
    "data_format": "shards",
    "split": "all",
    "sampling": "all",
    "measures": "distance",
    "source": "mine",
    "licence": "mine",
    "verified": "own",
}


def test_an_entry_takes_what_it_does_not_give_from_its_kind() -> None:
    kinds = {"small": {"count": 7, "seed": 3, "label": "z"}}
    found = read_entry("mine", ENTRY | {"kind": "small", "seed": 5}, kinds)
    assert (found.name, found.count, found.seed, found.label) == ("mine", 7, 5, "z")
    assert found.tasks == ("depth",) and not found.roads


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "large"}, "is of kind 'large'; choose one of small"),
        ({"licences": "mine"}, "has 'licences'; allowed are title"),
        ({"roads": 1}, "roads is 1; give true or false"),
        ({"label": "cosine"}, "label is 'cosine'; give one of distance, z"),
        ({"tasks": ["depths"]}, "give one of depth, objects"),
        ({"count": 0}, "a whole number from 1"),
    ],
)
def test_a_wrong_entry_is_one_line(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_entry("mine", ENTRY | change, {"small": {}})
    with pytest.raises(InputError, match="mine has no 'title'"):
        read_entry("mine", {k: v for k, v in ENTRY.items() if k != "title"}, {})
