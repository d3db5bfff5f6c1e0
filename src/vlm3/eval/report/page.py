"""A report as one HTML file that needs nothing else: tables, and each primary metric drawn."""

from html import escape

from vlm3.eval.report.render import difference_lines
from vlm3.eval.report.rows import ResultSection, Row, RunReport

_STYLE = """
:root{--ink:#1c2530;--soft:#5d6b7a;--line:#dfe5ea;--run:#0b6bcb;--floor:#9a6700;--old:#6b7683}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;color:var(--ink);
 margin:2.2rem auto;max-width:1120px;padding:0 1.2rem;background:#fff}
h1{font-size:1.6rem;margin:0 0 .2rem} h2{font-size:1.15rem;margin:2.6rem 0 .5rem}
p.lead{color:var(--soft);margin:0 0 1rem}
.scroll{overflow-x:auto;margin-bottom:.8rem}
table{border-collapse:collapse;font-size:13.5px;width:100%}
th,td{padding:.34rem .6rem;text-align:right;white-space:nowrap;vertical-align:top}
th{white-space:normal;vertical-align:bottom;font-weight:600;color:var(--soft);
 border-bottom:1.5px solid var(--ink)}
td{border-bottom:1px solid var(--line);font-variant-numeric:tabular-nums}
th:first-child,td:first-child{text-align:left;white-space:normal;min-width:13rem}
td small{display:block;color:var(--soft);font-size:11.5px}
tr.run td:first-child{font-weight:600;color:var(--run)}
tr.floor td:first-child{color:var(--floor)}
tr.published,tr.expert{color:var(--old)} tr.first td{border-top:1.5px solid #aab4be}
ol.notes,ul.notes{font-size:12.5px;color:var(--soft);padding-left:1.3rem;margin:.7rem 0}
.diff{background:#f3f7fb;border-left:3px solid var(--run);padding:.45rem .8rem;margin:.7rem 0;
 font-size:13.5px}
svg{display:block;margin:.6rem 0 1rem;max-width:100%;height:auto}
svg text{font:12px system-ui,"DejaVu Sans",sans-serif;fill:var(--ink)} svg .soft{fill:var(--soft)}
details{margin-top:2.5rem;font-size:12.5px;color:var(--soft)} details p{overflow-wrap:anywhere}
"""
_COLORS = {"run": "#0b6bcb", "floor": "#9a6700", "published": "#6b7683", "expert": "#6b7683"}
_MOST_COLUMNS = 6
_WIDTH, _LEFT, _RIGHT, _STEP = 1080, 330, 70, 22


def as_html(report: RunReport) -> str:
    """The page."""
    body = "\n".join(_section(section) for section in report.sections)
    origins = "\n".join(
        f"<p><b>{escape(name)}</b>: {escape(text)}</p>" for name, text in report.origins
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>vlm3 evaluation</title><style>{_STYLE}</style></head><body>\n"
        "<h1>vlm3 evaluation</h1>"
        '<p class="lead">Value; below it the 95 % interval over pictures, and in brackets the '
        "value over what could be read, where that is not everything.</p>\n"
        f"{body}\n<details open><summary>Where the runs come from</summary>{origins}</details>\n"
        "</body></html>\n"
    )


def _section(section: ResultSection) -> str:
    # Categories of objects make a row too long to read: they go into a table of their own.
    tables = "".join(
        _table(section, start, min(start + _MOST_COLUMNS, len(section.columns)))
        for start in range(0, len(section.columns), _MOST_COLUMNS)
    )
    differences = "".join(
        f'<p class="diff">{escape(line)}</p>' for line in difference_lines(section)
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in section.notes)
    return (
        f"<h2>{escape(section.title)}</h2>\n{drawing(section)}\n{tables}"
        f'{differences}<ol class="notes">{notes}</ol>'
    )


def _table(section: ResultSection, start: int, stop: int) -> str:
    heads = "".join(
        f"<th>{escape(section.columns[i])} {'↑' if section.better[i] == 'higher' else '↓'}</th>"
        for i in range(start, stop)
    )
    if start == 0:
        heads += "<th>n</th><th>failed</th><th>s/query</th>"
    rows, kind = [], section.rows[0].kind
    for row in section.rows:
        if any(cell.value is not None for cell in row.cells[start:stop]):
            rows.append(_row(row, start, stop, new_block=row.kind != kind))
            kind = row.kind
    return (
        f'<div class="scroll"><table><thead><tr><th></th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>\n"
    )


def _row(row: Row, start: int, stop: int, *, new_block: bool) -> str:
    cells = []
    for cell in row.cells[start:stop]:
        small = cell.range()
        if cell.valid_only is not None:
            small += f" ({cell.valid_only:.{cell.digits}f})"
        below = f"<small>{small.strip()}</small>" if small else ""
        cells.append(f"<td>{cell.text() or '–'}{below}</td>")
    if start == 0:
        failed, seconds = "", ""
        if row.kind == "run":
            failed = str(row.failures)
            seconds = "" if row.seconds is None else f"{row.seconds:.3f}"
        samples = "" if row.samples is None else str(row.samples)
        cells += [f"<td>{text}</td>" for text in (samples, failed, seconds)]
    name = escape(row.name)
    if row.protocol:
        name += f"<small>{escape(row.protocol)}</small>"
    if row.cost_usd is not None:
        name += f"<small>{row.cost_usd:.2f} USD</small>"
    place = f"{row.kind} first" if new_block else row.kind
    return f'<tr class="{place}"><td>{name}</td>{"".join(cells)}</tr>\n'


def drawing(section: ResultSection) -> str:
    """The primary metric of every row on one axis, runs and floors with their intervals."""
    rows = [row for row in section.rows if row.cells[0].value is not None]
    ends = [v for row in rows for v in (row.cells[0].value, row.cells[0].high) if v is not None]
    top = _nice(max([*ends, 1e-6]))
    height = _STEP * len(rows) + 34

    def x(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(value, top) / top

    parts = []
    for k in range(5):
        value = top * k / 4
        parts.append(
            f'<line x1="{x(value):.1f}" x2="{x(value):.1f}" y1="4" y2="{height - 26}" '
            f'stroke="#dfe5ea"/><text class="soft" x="{x(value):.1f}" y="{height - 10}" '
            f'text-anchor="middle">{value:g}</text>'
        )
    for i, row in enumerate(rows):
        cell, y, color = row.cells[0], 16 + _STEP * i, _COLORS[row.kind]
        assert cell.value is not None
        name = row.name if len(row.name) < 46 else row.name[:45] + "…"
        parts.append(f'<text x="{_LEFT - 12}" y="{y + 4}" text-anchor="end">{escape(name)}</text>')
        if cell.low is not None and cell.high is not None:
            parts.append(
                f'<line x1="{x(cell.low):.1f}" x2="{x(cell.high):.1f}" y1="{y}" y2="{y}" '
                f'stroke="{color}" stroke-width="3" stroke-opacity=".35"/>'
            )
        fill = color if row.kind in ("run", "floor") else "#fff"
        end = max(x(cell.value), x(cell.high or 0))
        parts.append(
            f'<circle cx="{x(cell.value):.1f}" cy="{y}" r="4.5" fill="{fill}" stroke="{color}" '
            f'stroke-width="1.6"/><text class="soft" x="{end + 10:.1f}" y="{y + 4}">'
            f"{cell.text()}</text>"
        )
    better = "higher is better" if section.better[0] == "higher" else "lower is better"
    label = f"{section.columns[0]}, {better}"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(label)}">'
        f'<text class="soft" x="0" y="{height - 10}">{escape(label)}</text>{"".join(parts)}</svg>'
    )


def _nice(value: float) -> float:
    """The next 1, 2, 4 or 8 times a power of ten."""
    power = 1e-6
    while True:
        for factor in (1, 2, 4, 8):
            if factor * power >= value * 0.999:
                return factor * power
        power *= 10
