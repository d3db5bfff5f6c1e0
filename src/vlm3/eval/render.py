"""A report as a terminal table, Markdown or LaTeX."""

from collections.abc import Sequence

from vlm3.eval.report import Cell, Report, Row, Section

_KINDS = {"run": "", "floor": "floor", "published": "published", "expert": "published expert"}
_ARROWS = {"higher": "↑", "lower": "↓"}
_TEX = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}"}
_TEX |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
_TEX |= {">": r"\textgreater{}", "<": r"\textless{}"}
# A terminal shows so many metrics beside a name; the files hold all of them.
_MOST_COLUMNS = 7


def as_text(report: Report) -> str:
    """For the terminal; the categories of objects are left to the files."""
    blocks = []
    for section in report.sections:
        shown = section.columns[:_MOST_COLUMNS]
        heads = ["", *(_head(section, i) for i in range(len(shown))), "n", "failed", "s/query"]
        body = [
            [row.name, *(c.whole() for c in row.cells[: len(shown)]), *_counts(row)]
            for row in section.rows
        ]
        widths = [max(len(line[i]) for line in [heads, *body]) for i in range(len(heads))]
        lines = [section.title, _line(heads, widths), "-" * (sum(widths) + 2 * len(widths) - 2)]
        kind = section.rows[0].kind
        for row, cells in zip(section.rows, body, strict=True):
            if row.kind != kind:
                lines.append("")
                kind = row.kind
            lines.append(_line(cells, widths))
        lines += ["", *_differences(section), *(f"* {note}" for note in section.notes)]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def as_markdown(report: Report) -> str:
    """Tables as GitHub and others show them, with notes and origins."""
    blocks = []
    for section in report.sections:
        heads = ["row", *(_head(section, i) for i in range(len(section.columns)))]
        heads += ["n", "failed", "s/query", "kind"]
        lines = [f"## {section.title}", "", _bars(heads)]
        lines.append(_bars(["---", *("---:" for _ in heads[1:-1]), "---"]))
        for row in section.rows:
            cells = [cell.whole() for cell in row.cells]
            lines.append(_bars([row.name, *cells, *_counts(row), _KINDS[row.kind]]))
        lines += ["", *(f"- {line}" for line in _differences(section))]
        lines += [f"- {note}" for note in section.notes]
        blocks.append("\n".join(lines))
    origins = "\n".join(f"- **{name}**: {text}" for name, text in report.origins)
    return "\n\n".join([*blocks, f"## Where the runs come from\n\n{origins}"]) + "\n"


def as_latex(report: Report) -> str:
    """One booktabs table a section; notes below it."""
    blocks = []
    for section in report.sections:
        heads = " & ".join(
            f"{_tex(name)} ${'uparrow' if better == 'higher' else 'downarrow'}$".replace(
                "$up", r"$\up"
            ).replace("$down", r"$\down")
            for name, better in zip(section.columns, section.better, strict=True)
        )
        lines = [r"\begin{table}", rf"\caption{{{_tex(section.title)}}}", r"\small"]
        lines.append(rf"\begin{{tabular}}{{l{'r' * len(section.columns)}rr}}")
        lines += [r"\toprule", rf" & {heads} & $n$ & failed \\", r"\midrule"]
        kind = section.rows[0].kind
        for row in section.rows:
            if row.kind != kind:
                lines.append(r"\midrule")
                kind = row.kind
            cells = " & ".join(_tex_cell(cell) for cell in row.cells)
            n, failed, _ = _counts(row)
            lines.append(rf"{_tex(row.name)} & {cells} & {n} & {failed} \\")
        lines += [r"\bottomrule", r"\end{tabular}", r"\par\footnotesize"]
        lines += [_tex(note) for note in (*_differences(section), *section.notes)]
        lines.append(r"\end{table}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def difference_lines(section: Section) -> list[str]:
    """Each paired difference as a sentence."""
    return _differences(section)


def _differences(section: Section) -> list[str]:
    found = []
    for a, b, measure, value in section.differences:
        digits = section.rows[0].cells[section.columns.index(measure)].digits
        between = ""
        if value.interval is not None:
            low, high = value.interval.low, value.interval.high
            between = f" (95 %: {low:+.{digits}f} to {high:+.{digits}f})"
        found.append(
            f"{measure}, {a} minus {b}, paired on {value.samples} queries of {value.clusters} "
            f"pictures: {value.value:+.{digits}f}{between}"
        )
    return found


def _head(section: Section, place: int) -> str:
    return f"{section.columns[place]} {_ARROWS[section.better[place]]}"


def _counts(row: Row) -> list[str]:
    seconds = "" if row.seconds is None else f"{row.seconds:.3f}"
    if row.kind != "run":
        return ["" if row.samples is None else str(row.samples), "", ""]
    return [str(row.samples), str(row.failures), seconds]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    rest = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    return "  ".join((first, *rest)).rstrip()


def _bars(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in text)


def _tex_cell(cell: Cell) -> str:
    if cell.value is None:
        return "--"
    if cell.low is None or cell.high is None:
        return cell.text()
    return (
        rf"{cell.text()} {{\scriptsize [{cell.low:.{cell.digits}f}, {cell.high:.{cell.digits}f}]}}"
    )
