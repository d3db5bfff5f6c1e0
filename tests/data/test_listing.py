"""The documents' tables of sources are the file of facts; each says what it rests on."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from vlm3.cli.main import main
from vlm3.datasets import SINGLE, VIEWS, get_facts, get_source, names, published
from vlm3.datasets.listing import NOT_LOOKED_UP, licence_source, markdown
from vlm3.datasets.published import all_facts, parse_facts
from vlm3.errors import InputError
from vlm3.tasks.depth_labels import distance_from_label

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
    source = get_facts(name)
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


def test_every_entry_has_a_reader_and_every_reader_an_entry() -> None:
    # In the order of their names, as every list shows them.
    assert list(all_facts()) == list(names())
    for name in names():
        source = get_source(name)
        assert source.facts is get_facts(name) and source.facts.name == name
        assert callable(source.reader.scenes) and callable(source.reader.frames)
        if source.facts.depthlm is not None:
            assert distance_from_label([2.0], [1.0], source.facts.depthlm) > 0


def test_the_file_is_read_once_and_no_reader_is_imported() -> None:
    code = (
        "import sys, tomllib; read = tomllib.loads; calls = []\n"
        "tomllib.loads = lambda text: calls.append(1) or read(text)\n"
        "from vlm3.datasets import get_facts, names\n"
        "assert not calls, 'read before it is needed'\n"
        "assert len([get_facts(name) for name in names()]) == len(names())\n"
        "assert len(calls) == 1 and 'vlm3.datasets.wai' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


GOOD = """
[mine]
title = "Mine"
licence = "yours"
url = "docs/data.md"
layout = "SCENE/"
tasks = ["depth"]
verified = "fixtures"
"""


def test_an_entry_is_what_it_says() -> None:
    (found,) = parse_facts(GOOD + 'needs = ["h5py"]\norigin = "mvs"\n').values()
    assert (found.name, found.tasks, found.needs) == ("mine", ("depth",), ("h5py",))
    assert (found.origin, found.against, found.depthlm) == ("mvs", "", None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("title", "titel"), r"published.toml.mine has no 'title'; it needs title, licence, url"),
        (('url = "docs/data.md"\n', ""), r"published.toml.mine has no 'url'"),
        (("verified", 'licenced = "?"\nverified'), r"mine has licenced; an entry has title.* may"),
        (('"fixtures"', '"hearsay"'), r"mine.verified is 'hearsay'; give one of real files, off"),
        (('["depth"]', '["deep"]'), r"mine.tasks\[0\] is 'deep'; give one of depth, "),
        (('["depth"]', '"depth"'), r"mine.tasks is 'depth'; give a list of at least 1"),
        (('["depth"]', "[]"), r"mine.tasks is \[\]; give a list of at least 1"),
        (('"Mine"', "3"), r"mine.title is 3; give a text"),
        (('"Mine"', '"Mine'), r"published.toml is no TOML \(.*line 3"),
        (("[mine]", "mine = 3\n[other]"), r"published.toml.mine is 3; give an object with"),
        (('"fixtures"', '"fixtures"\norigin = "guessed"'), r"origin is 'guessed'; give one of tr"),
        (('"fixtures"', '"fixtures"\ndepthlm = "log"'), r"depthlm is 'log'; give one of dist"),
    ],
)
def test_an_entry_that_is_wrong_is_refused(change: tuple[str, str], message: str) -> None:
    text = GOOD.replace(*change)
    assert text != GOOD
    with pytest.raises(InputError, match=message):
        parse_facts(text)


def test_no_entry_is_there_twice() -> None:
    text = (Path(published.__file__).parent / published.FILE).read_text(encoding="utf-8")
    assert len(tomllib.loads(text)) == text.count("\n[")
