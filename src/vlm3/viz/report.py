"""One HTML file that shows picture, question, raw answer, what was read from it, and the truth.

Self-contained: pictures lie inside as base64, nothing is fetched, nothing runs. Readable in light
and dark, on a phone and on paper. Everything that a model wrote is escaped. Knows no matplotlib and
no model: pictures come as files, answers as `Evidence`.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from os import PathLike
from pathlib import Path

from vlm3 import disk
from vlm3.errors import InputError
from vlm3.viz.evidence import Evidence

_MEDIA = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


@dataclass(frozen=True)
class ReportSection:
    """One task in the report.

    Attributes:
        title: the task.
        text: a sentence or two of explanation.
        figures: picture files (PNG or JPEG), each with words for who cannot see it.
        evidence: one row a question.
    """

    title: str
    text: str
    figures: tuple[tuple[Path, str], ...]
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True)
class ReportPage:
    """Everything a report says.

    Attributes:
        title: the heading.
        notes: paragraphs at the top: what this is, and what it is not.
        facts: a short table, name -> value: model, protocol, versions.
        sections: the tasks.
        credit: whose pictures these are.
    """

    title: str
    notes: tuple[str, ...]
    facts: Mapping[str, str]
    sections: tuple[ReportSection, ...]
    credit: str


def write_report(report: ReportPage, path: str | PathLike[str]) -> Path:
    """Write the report as one HTML file.

    Raises:
        InputError: a figure that is missing or not PNG or JPEG, or a place that cannot be written.
    """
    return disk.write(path, render_report(report))


def render_report(report: ReportPage) -> str:
    """The whole page as text; see `write_report`."""
    notes = "".join(f"<p>{escape(note)}</p>\n" for note in report.notes)
    facts = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>\n"
        for name, value in report.facts.items()
    )
    sections = "".join(_section(section) for section in report.sections)
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(report.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<header>\n<h1>{escape(report.title)}</h1>\n<div class="notes">\n{notes}</div>\n'
        f"<dl>\n{facts}</dl>\n</header>\n{sections}"
        f"<footer><p>{escape(report.credit)}</p></footer>\n</main>\n</body>\n</html>\n"
    )


def _section(section: ReportSection) -> str:
    figures = "".join(
        f'<figure><img src="{_data_uri(path)}" alt="{escape(words)}"></figure>\n'
        for path, words in section.figures
    )
    return (
        f"<section>\n<h2>{escape(section.title)}</h2>\n<p>{escape(section.text)}</p>\n{figures}"
        f"{_table(section.evidence)}</section>\n"
    )


def _table(evidence: Sequence[Evidence]) -> str:
    heads = ("", "question, word for word", "raw answer", "read as", "truth", "error")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    rows = "".join(_row(line, heads) for line in evidence)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n"


def _row(line: Evidence, heads: Sequence[str]) -> str:
    raw = escape(line.raw_text) if line.raw_text else '<span class="muted">(nothing)</span>'
    value = '<span class="bad">not parsed</span>' if line.value is None else escape(line.value)
    cells = (
        f"<pre>{escape(line.prompt)}</pre>",
        f"<pre>{raw}</pre>",
        value,
        _optional(line.truth),
        _verdict(line),
    )
    body = "".join(
        f'<td data-head="{head}">{cell}</td>' for head, cell in zip(heads[1:], cells, strict=True)
    )
    return f'<tr><th scope="row">{escape(line.what)}</th>{body}</tr>\n'


def _optional(text: str | None) -> str:
    return '<span class="muted">–</span>' if text is None else escape(text)


def _verdict(line: Evidence) -> str:
    if line.good is None:
        return _optional(line.error)
    kind, sign, word = ("good", "✓", "right") if line.good else ("bad", "✗", "wrong")
    text = f"{escape(line.error)} " if line.error else ""
    return f'<span class="{kind}">{text}<span role="img" aria-label="{word}">{sign}</span></span>'


def _data_uri(path: Path) -> str:
    media = _MEDIA.get(path.suffix.lower())
    if media is None:
        raise InputError(f"a report shows {', '.join(_MEDIA)} pictures, not {path.name!r}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"the report's picture {path} cannot be read ({error.strerror})"
        ) from error
    return f"data:{media};base64,{base64.b64encode(data).decode('ascii')}"


_STYLE = """
:root { --ink: #1a1a1a; --muted: #5f6368; --page: #ffffff; --panel: #f5f6f8; --line: #dcdfe3;
  --good: #00734f; --bad: #b34700; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --muted: #a4a9b0; --page: #17191c; --panel: #22252a; --line: #3a3f46;
    --good: #4cc79a; --bad: #ff9a5c; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 1rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 0.25rem; }
p { margin: 0.25rem 0 0.75rem; max-width: 75ch; }
.notes { border-left: 4px solid var(--bad); background: var(--panel); padding: 0.6rem 1rem 0.1rem;
  margin-bottom: 1rem; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)); gap: 0.5rem 1rem;
  margin: 0; }
dt { color: var(--muted); font-size: 0.8rem; }
dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 1rem 0; overflow-x: auto; }
img { display: block; max-width: 100%; height: auto; background: #ffffff; border-radius: 6px;
  border: 1px solid var(--line); }
footer, .muted { color: var(--muted); font-size: 0.875rem; }
table { width: 100%; border-collapse: collapse; font-size: 0.9rem; margin: 0.5rem 0; }
th, td { text-align: left; vertical-align: top; padding: 0.4rem 0.6rem;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--muted); font-weight: 500; white-space: nowrap; }
tbody th { font-weight: 600; }
td:nth-child(n+4) { white-space: nowrap; font-variant-numeric: tabular-nums; }
pre { margin: 0; font: 0.85rem/1.45 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; max-height: 16rem; overflow-y: auto; }
.good { color: var(--good); }
.bad { color: var(--bad); }
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; }
@media (max-width: 760px) {
  img { max-width: none; width: 660px; }
  thead { display: none; }
  table, tbody, tr, th, td { display: block; }
  tr { background: var(--panel); border-radius: 6px; padding: 0.4rem 0.8rem; margin: 0.6rem 0; }
  th, td { border: 0; padding: 0.15rem 0; }
  td { display: grid; grid-template-columns: 6.5rem 1fr; gap: 0.5rem; }
  td::before { content: attr(data-head); color: var(--muted); font-size: 0.8rem; }
  td:nth-child(n+4) { white-space: normal; }
}
@media print { pre { max-height: none; } tr, figure { break-inside: avoid; } }
"""
