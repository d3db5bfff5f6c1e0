"""A report as a terminal table, Markdown or LaTeX."""

from collections.abc import Sequence
from textwrap import wrap

from vlm3.eval.report.rows import Cell, ResultSection, Row, RunReport

_KINDS = {"run": "", "floor": "floor", "published": "published", "expert": "published expert"}
_ARROWS = {"higher": "↑", "lower": "↓"}
_TEX = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}"}
_TEX |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
_TEX |= {">": r"\textgreater{}", "<": r"\textless{}"}
# A terminal shows so many metrics beside a name; the files hold all of them.
_MOST_COLUMNS = 7
_WIDEST = 100
# A page of a paper holds so many, with their intervals.
_MOST_TEX = 5
# The text of a page of a conference's paper is 5.5 inches wide; mean widths of Computer Modern's
# letters in small and scriptsize, and the gap between columns.
_PAGE_PT = 397.0
_SMALL_PT = 4.6
_SCRIPT_PT = 3.7
_GAP_PT = 12.0
_OTHERS = ("published", "expert")
_TEX_ARROWS = {"higher": r"$\uparrow$", "lower": r"$\downarrow$"}


def as_text(report: RunReport) -> str:
    """For the terminal; the categories of objects are left to the files."""
    blocks = []
    for section in report.sections:
        # As many metrics as fit, one at least.
        for count in range(min(_MOST_COLUMNS, len(section.columns)), 0, -1):
            heads = ["", *(_head(section, i) for i in range(count)), "n", "failed", "s/query"]
            body = [
                [row.name, *(c.whole() for c in row.cells[:count]), *_counts(row)]
                for row in section.rows
            ]
            widths = [max(len(line[i]) for line in [heads, *body]) for i in range(len(heads))]
            if sum(widths) + 2 * len(widths) - 2 <= _WIDEST:
                break
        left_out = section.columns[count:]
        lines = [section.title, _line(heads, widths), "-" * (sum(widths) + 2 * len(widths) - 2)]
        kind = section.rows[0].kind
        for row, cells in zip(section.rows, body, strict=True):
            if row.kind != kind:
                lines.append("")
                kind = row.kind
            lines.append(_line(cells, widths))
        lines.append("")
        notes = [*_differences(section)]
        if left_out:
            notes.append(f"* Also measured, in the files of -o: {', '.join(left_out)}.")
        for note in (*notes, *(f"* {note}" for note in section.notes)):
            hang = "  " if note.startswith("* ") else ""
            lines += wrap(note, _WIDEST, subsequent_indent=hang, break_long_words=False)
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def as_markdown(report: RunReport) -> str:
    """Tables as GitHub and others show them, with notes and origins."""
    blocks = []
    for section in report.sections:
        lines = [f"## {section.title}", ""]
        for table in _markdown_tables(section):
            heads = [
                _bars(table[0]),
                _bars(["---" if h in ("row", "kind") else "---:" for h in table[0]]),
            ]
            lines += [*heads, *(_bars(row) for row in table[1:]), ""]
        lines += [f"- {line}" for line in _differences(section)]
        lines += [f"- {note}" for note in section.notes]
        blocks.append("\n".join(lines))
    origins = "\n".join(f"- **{name}**: {text}" for name, text in report.origins)
    return "\n\n".join([*blocks, f"## Where the runs come from\n\n{origins}"]) + "\n"


def _markdown_tables(section: ResultSection) -> list[list[list[str]]]:
    """Tables of `_WIDEST` characters that together hold every column; the heads are row 0.

    The first has the counts and what a row is; a row without a value in a later one is left out.
    """
    rest = list(range(len(section.columns)))
    tables: list[list[list[str]]] = []
    while rest:
        ends = [["n", "failed", "s/query", "kind"]] if not tables else [[]]
        for row in section.rows:
            ends.append([*_counts(row), _KINDS[row.kind]] if not tables else [])
        for count in range(len(rest), 0, -1):
            places = rest[:count]
            table = [["row", *(_head(section, i) for i in places), *ends[0]]]
            for row, end in zip(section.rows, ends[1:], strict=True):
                cells = [row.cells[i].whole() for i in places]
                if not tables or any(row.cells[i].value is not None for i in places):
                    table.append([row.name, *cells, *end])
            if max(len(_bars(line)) for line in table) <= _WIDEST:
                break
        tables.append(table)
        rest = rest[len(places) :]
    return tables


def as_latex(report: RunReport) -> str:
    """One booktabs table a section, for a page: the columns that published rows fill, best in bold.

    A section without published rows keeps its first columns. Notes stand below; the other forms
    hold everything.
    """
    blocks = []
    for section in report.sections:
        lines = [r"\begin{table}", rf"\caption{{{_tex(section.title)}}}", r"\small"]
        rest, first = _shared(section), True
        while rest:
            # As many columns as a page is wide, one at least; the others stand below them.
            for count in range(len(rest), 0, -1):
                if _tex_width_pt(section, rest[:count], counts=first) <= _PAGE_PT:
                    break
            lines += _tabular(section, rest[:count], counts=first)
            rest, first = rest[count:], False
        lines.append(r"\par\footnotesize")
        lines += [_tex(note) for note in (*_differences(section), *section.notes)]
        lines.append(r"\end{table}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _tabular(section: ResultSection, places: Sequence[int], *, counts: bool) -> list[str]:
    """The lines of one tabular; rows of others without a value in it are left out."""
    best = {place: _best(section, place) for place in places}
    heads = [rf"{_tex(section.columns[i])} {_TEX_ARROWS[section.better[i]]}" for i in places]
    heads += ["$n$", "failed"] if counts else []
    lines = [rf"\begin{{tabular}}{{l{'r' * len(heads)}}}"]
    lines += [r"\toprule", rf" & {' & '.join(heads)} \\", r"\midrule"]
    kind = section.rows[0].kind
    for row in section.rows:
        if row.kind in _OTHERS and not any(row.cells[i].value is not None for i in places):
            continue
        if row.kind != kind:
            lines.append(r"\midrule")
            kind = row.kind
        cells = [
            _tex_cell(row.cells[i], best=row.kind != "floor" and _is(row, i, best[i]))
            for i in places
        ]
        cells += _counts(row)[:2] if counts else []
        lines.append(rf"{_tex(row.name)} & {' & '.join(cells)} \\")
    return [*lines, r"\bottomrule", r"\end{tabular}", ""]


def _tex_width_pt(section: ResultSection, places: Sequence[int], *, counts: bool) -> float:
    """About how wide a tabular is, by the mean width of letters in these sizes."""
    width = _SMALL_PT * max(len(row.name) for row in section.rows)
    for i in places:
        cells = [_SMALL_PT * (len(section.columns[i]) + 2)]
        for row in section.rows:
            whole, value = row.cells[i].whole(), row.cells[i].text()
            cells.append(_SMALL_PT * len(value) + _SCRIPT_PT * (len(whole) - len(value)))
        width += max(cells) + _GAP_PT
    return width + counts * (2 * _GAP_PT + 10 * _SMALL_PT)


def _shared(section: ResultSection) -> list[int]:
    """The columns of a page's table."""
    published = [row for row in section.rows if row.kind in _OTHERS]
    filled = [
        i
        for i in range(len(section.columns))
        if any(row.cells[i].value is not None for row in published)
    ]
    return (filled or list(range(len(section.columns))))[:_MOST_TEX]


def _best(section: ResultSection, place: int) -> float | None:
    """The best value of a column as it is shown; floors do not take part."""
    shown = [
        round(row.cells[place].value or 0.0, row.cells[place].digits)
        for row in section.rows
        if row.kind != "floor" and row.cells[place].value is not None
    ]
    if not shown:
        return None
    return max(shown) if section.better[place] == "higher" else min(shown)


def _is(row: Row, place: int, best: float | None) -> bool:
    cell = row.cells[place]
    return cell.value is not None and round(cell.value, cell.digits) == best


def difference_lines(section: ResultSection) -> list[str]:
    """Each paired difference as a sentence."""
    return _differences(section)


def _differences(section: ResultSection) -> list[str]:
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


def _head(section: ResultSection, place: int) -> str:
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


def _tex_cell(cell: Cell, *, best: bool) -> str:
    if cell.value is None:
        return "--"
    text = rf"\textbf{{{cell.text()}}}" if best else cell.text()
    if cell.low is None or cell.high is None:
        return text
    return rf"{text} {{\scriptsize [{cell.low:.{cell.digits}f}, {cell.high:.{cell.digits}f}]}}"
