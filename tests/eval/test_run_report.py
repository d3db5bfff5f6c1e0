"""Reports: beside the published rows, floors always, failures counted, in four forms."""

import json
import re
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from vlm3.cli.main import main
from vlm3.errors import InputError
from vlm3.eval.benchmarks import get_benchmark
from vlm3.eval.lmms import DATA, aggregate, export, process_results
from vlm3.eval.models import choose
from vlm3.eval.predict import predict
from vlm3.eval.readers import EVERY, Wanted, read_items
from vlm3.eval.report.page import as_html
from vlm3.eval.report.published import flags, table, tables
from vlm3.eval.report.render import as_latex, as_markdown, as_text
from vlm3.eval.report.rows import Cell, ResultSection, Row, RunReport
from vlm3.eval.report.table import build
from vlm3.eval.score import score
from vlm3.eval.solvers import OracleSolver
from vlm3.tasks.protocol import get_protocol


@pytest.fixture
def report(depthlm: Path, tmp_path: Path) -> RunReport:
    benchmark = get_benchmark("ibims1")
    items = list(read_items(Wanted(benchmark, depthlm, EVERY, 42)))
    for name, model in (("a", "oracle"), ("b", "says:no idea")):
        who = choose(model, benchmark, None)
        config = {"benchmark": "ibims1", "model": model, **who.config(), "tasks": ["depth"]}
        predict(items, who.solver, tmp_path / name, config)
    return build([score(tmp_path / "a"), score(tmp_path / "b")])


def test_rows_floors_published_and_notes(report: RunReport) -> None:
    (section,) = report.sections
    kinds = [row.kind for row in section.rows]
    assert kinds[:4] == ["run", "run", "floor", "floor"]
    assert {"published", "expert"} <= set(kinds)
    published = {row.name: row.cells[0].value for row in section.rows}
    assert published["VLM3-4B"] == 0.96 and published["UniDepthV2"] == 0.945
    assert section.rows[1].failures == 20 and section.rows[1].cells[0].value == 0
    notes = " ".join(section.notes)
    for said in ("counts as wrong", "resamples of whole pictures", "(z)", "Expert rows of Table 2"):
        assert said in notes
    (first, _, measure, found) = section.differences[0]
    assert (first, measure) == ("oracle", "delta1 (label: z)") and found.value > 0.5
    assert all("commit" in origin and "joint" in origin for _, origin in report.origins)


def test_four_forms_hold_the_same_numbers(report: RunReport) -> None:
    text, markdown = as_text(report), as_markdown(report)
    latex, page = as_latex(report), as_html(report)
    for form in (text, markdown, latex, page):
        assert "0.960" in form and "VLM3-4B" in form and "says" in form
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    heads = [line for line in rows if line.startswith("| row |")]
    assert len(heads) == 1 or not any("failed" in line for line in heads[1:])
    for column in report.sections[0].columns:
        assert sum(f"| {column} " in line for line in heads) == 1, "every column, once"
    tables = [line.splitlines() for line in re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE)]
    assert [len({line.count(" | ") for line in table}) for table in tables] == [1] * len(heads)
    assert max(map(len, [*rows, *text.splitlines()])) <= 100
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 1
    assert not re.search(r"(?<!\\)[_#]", latex)
    # Self-contained: nothing is fetched.
    assert "http" not in page and "src=" not in page and page.count("<svg") == 1


@pytest.mark.parametrize("columns", [1, 2, 5, 12])
@pytest.mark.parametrize("name", ["a", "median of each picture (oracle)"])
def test_wide_tables_are_set_below_each_other(columns: int, name: str) -> None:
    """100 characters, a page's width; every number once, as far as a form shows it."""
    heads = tuple(f"column {k:02d}" for k in range(columns))
    cells = tuple(Cell(0.5 + k / 1000, 0.4, 0.6) for k in range(columns))
    rows = (Row(name, "run", cells, 100, 0), Row("floor", "floor", cells, 100))
    notes = ("a note of many words " * 12,)
    wide = RunReport((ResultSection("title", heads, ("higher",) * columns, rows, notes),), ())
    text, markdown, latex = as_text(wide), as_markdown(wide), as_latex(wide)
    tables = [line for line in markdown.splitlines() if line.startswith("|")]
    assert max(map(len, [*text.splitlines(), *tables])) <= 100
    for k in range(columns):
        assert markdown.count(f"{0.5 + k / 1000:.3f} [") == 2
        # The first five: a page holds so many.
        assert latex.count(f"{0.5 + k / 1000:.3f}") == 2 * (k < 5)
    for body in latex.split(r"\begin{tabular}")[1:]:
        assert body.split("\n")[2].count("column") <= (2 if len(name) > 20 else 4)
    assert latex.count("failed") == 1


def test_published_tables_add_up_but_for_the_flags() -> None:
    assert set(tables()) >= {"depth", "qualitative", "quantitative", "correspondence", "pose"}
    depth = table("depth")
    off = []
    for row in depth.rows:
        columns = [row.values[c] for c in depth.columns if c in row.values and c != "Average"]
        if "Average" in row.values and abs(sum(columns) / 8 - row.values["Average"]) > 6e-4:
            off.append(row.name)
    assert off == ["Qwen3-VL-4B"]
    assert any("0.0974" in text for text in flags("depth", off, ["Average"]))
    assert flags("pose", ["VLM3-4B"], ["ETH3D"]) == []


def test_the_same_numbers_through_lmms_eval(depthlm: Path, tmp_path: Path) -> None:
    """Its side played by hand: questions out of the data file, answers into process_results."""
    benchmark, protocol = get_benchmark("ibims1"), get_protocol("release-depth")
    items = list(read_items(Wanted(benchmark, depthlm, EVERY, 42)))
    assert export(items, benchmark, protocol, tmp_path / "lmms") == 20
    docs = [json.loads(line) for line in (tmp_path / "lmms" / DATA).read_text().splitlines()]
    answers = [
        process_results(doc, [f"<answer> {2 + k / 10} </answer>" if k else "?"])["vlm3"]
        for k, doc in enumerate(docs)
    ]
    truths = [json.loads(doc["truth"])["label_m"] for doc in docs]
    right = [max(g / (2 + k / 10), (2 + k / 10) / g) < 1.25 for k, g in enumerate(truths) if k]
    assert aggregate(answers) == pytest.approx(sum(right) / 20)
    oracle = OracleSolver(protocol).solve(items[0], items[0].queries)
    assert docs[0]["prompt"] == oracle[0].prompt
    assert {p.name for p in (tmp_path / "lmms").iterdir()} >= {"vlm3_ibims1.yaml", "utils.py"}
    # The room for an answer is the protocol's, as the notebook has it.
    assert "max_new_tokens: 256" in (tmp_path / "lmms" / "vlm3_ibims1.yaml").read_text()


def test_commands(depthlm: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    where = ["--data", str(depthlm), "--count", "12"]
    out = str(tmp_path / "run")
    done = run(main, ["eval", "ibims1", *where, "--model", "oracle", "-o", out])
    assert done.exit_code == 0 and "constant, the best" in done.output
    assert run(main, ["eval", "ibims1", *where, "--model", "oracle", "-o", out]).exit_code == 0
    other = run(main, ["eval", "ibims1", *where, "--model", "says:1", "-o", out])
    assert other.exit_code == 2 and "another configuration" in other.output
    unread = ["--model", "says:far away", "-o", str(tmp_path / "unread")]
    assert (
        "12 of 12 answers could not be read"
        in run(main, ["eval", "ibims1", *where, *unread]).output
    )
    assert "could not be read;" not in done.output
    assert run(main, ["score", out, "--json"]).output.startswith("{")
    # One question a picture: the median of one distance would be the truth.
    assert "median of each picture" in done.output
    single = [*where[:2], "--count", "2", "--model", "oracle", "-o", str(tmp_path / "two")]
    done = run(main, ["eval", "ibims1", *single])
    assert done.exit_code == 0 and "median of each picture" not in done.output
    asked = tmp_path / "queries.jsonl"
    assert run(main, ["eval", "ibims1", *where, "--queries", str(asked)]).exit_code == 0
    said = [{"id": json.loads(line)["id"], "depth_z_m": 2} for line in asked.open()]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in said))
    joined = ["--predictions", str(tmp_path / "mine.jsonl"), "-o", str(tmp_path / "mine")]
    done = run(main, ["eval", "ibims1", *where, *joined])
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("mine ")]
    assert row.split()[-2:] == ["12", "0"], "a file does not tell how long its answers took"
    for form in ("html", "md", "tex"):
        path = tmp_path / f"report.{form}"
        assert run(main, ["report", out, "-o", str(path)]).exit_code == 0 and path.stat().st_size
    for wrong, said in (
        (["eval", "ibims1", *where], "where should the run go"),
        (["eval", "nothing", "-o", out], "choose one of"),
        (["eval", "ibims1", *where, "--task", "pose", "-o", out], "has no task 'pose'"),
        (["eval", "ibims1", *where, "--model", "moge-2", "-o", out], "which is not installed"),
        (["eval", "ibims1", *where, "--model", "sift", "-o", out], "asks depth"),
        (["report", out, "-o", "report.pdf"], "ends in none of"),
    ):
        found = run(main, wrong)
        assert found.exit_code == 2 and said in found.output, found.output


def test_importing_the_commands_loads_no_numpy() -> None:
    import subprocess
    import sys

    code = "import sys, vlm3.cli.evaluation; sys.exit('numpy' in sys.modules)"
    start = time.perf_counter()
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert time.perf_counter() - start < 5


def test_a_report_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="at least one run"):
        build([])
