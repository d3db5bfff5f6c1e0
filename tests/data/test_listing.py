"""The documents' tables of sources are the registry's; each says what it rests on."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from vlm3.cli.main import main
from vlm3.datasets import SINGLE, VIEWS, get_source, names
from vlm3.datasets.listing import NOT_LOOKED_UP, licence_source, markdown

DOCS = Path(__file__).parents[2] / "docs"
MARKED = re.compile(r"<!-- sources -->\n(.*?)<!-- end of sources -->", re.DOTALL)


@pytest.mark.parametrize(("page", "group"), [("data.md", SINGLE), ("data_pairs.md", VIEWS)])
def test_the_table_of_the_documents_is_the_registry(page: str, group: dict[str, str]) -> None:
    found = MARKED.findall((DOCS / page).read_text(encoding="utf-8"))
    # From the command: vlm3 data list --markdown
    assert found == [markdown(sorted(group))]


def test_every_source_is_in_the_table() -> None:
    printed = CliRunner().invoke(main, ["data", "list", "--markdown"]).output.splitlines()
    assert [line.split("`")[1] for line in printed[2:]] == list(names())
    assert {line.count(" | ") for line in printed} == {5}
    assert len(names()) == len(SINGLE) + len(VIEWS)


@pytest.mark.parametrize("name", names())
def test_a_source_says_what_it_rests_on(name: str) -> None:
    source = get_source(name)
    assert (source.verified == "fixtures") == (not source.against)
    # A repository as OWNER/NAME, or words about files.
    assert source.verified in ("real files", "fixtures") or re.search(
        r"\w[\w.-]+/\w[\w.-]+|pycolmap", source.against
    )
    said = CliRunner().invoke(main, ["data", "list", name]).output
    assert f"verified  on {source.verified}" in said
    if source.licence not in ("yours", "of the set", "that of the set it was made from"):
        assert f"as read in: {source.licence_from or NOT_LOOKED_UP}" in said
    else:
        assert licence_source(source) == ""
