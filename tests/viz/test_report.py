import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from vlm3.errors import InputError
from vlm3.viz.evidence import Evidence
from vlm3.viz.report import ReportPage, ReportSection, render_report, write_report

VOID = {"meta", "img", "br", "hr", "link", "input"}
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Strict(HTMLParser):
    """Every tag is closed in order; keeps tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(text: str) -> Strict:
    parser = Strict()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser


@pytest.fixture
def report(tmp_path: Path, evil: str) -> ReportPage:
    picture = tmp_path / "depth.png"
    picture.write_bytes(PNG)
    lines = (
        Evidence("plant", "how far?", "05.00", "5.00 m", "5.03 m", "-1%", True),
        Evidence(evil, evil, evil, None, evil, None, False),
        Evidence("nothing", "how far?", "", evil),
    )
    return ReportPage(
        title=evil,
        notes=("nano is a demonstration", evil),
        facts={"model": "nano", evil: evil},
        sections=(ReportSection("Depth", evil, ((picture, evil),), lines),),
        credit=evil,
    )


def test_is_well_formed_and_shows_every_field(report: ReportPage) -> None:
    page = parsed(render_report(report))
    text = "".join(page.text)
    for shown in (
        "plant",
        "how far?",
        "05.00",
        "5.00 m",
        "5.03 m",
        "-1%",
        "not parsed",
        "(nothing)",
    ):
        assert shown in text
    assert "nano is a demonstration" in text


def test_what_a_model_writes_is_text_never_markup(report: ReportPage, evil: str) -> None:
    page = parsed(render_report(report))
    assert "script" not in page.tags
    assert "".join(page.text).count(evil) >= 9
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_fetches_nothing(report: ReportPage) -> None:
    html = render_report(report)
    page = parsed(html)
    links = [
        value for name, value in page.attributes if name in {"src", "href", "srcset", "action"}
    ]
    assert links
    assert all(value.startswith("data:image/png;base64,") for value in links)
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    assert not {"link", "iframe", "script", "object", "embed"} & set(page.tags)


def test_pictures_lie_inside_unchanged(report: ReportPage) -> None:
    (source,) = [value for name, value in parsed(render_report(report)).attributes if name == "src"]
    assert base64.b64decode(source.partition(",")[2]) == PNG


def test_light_dark_narrow_and_language(report: ReportPage) -> None:
    html = render_report(report)
    assert "prefers-color-scheme: dark" in html
    assert "max-width: 760px" in html
    assert 'name="viewport"' in html
    assert '<html lang="en">' in html


def test_bad_places_are_one_line(report: ReportPage, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write"):
        write_report(report, Path("/proc/no") / "report.html")
    for name in ("missing.png", "figure.svg"):
        section = ReportSection("Depth", "", ((tmp_path / name, ""),), ())
        with pytest.raises(InputError, match=name):
            render_report(ReportPage("", (), {}, (section,), ""))
