"""The table of all sources, as the documents show it; a test holds them to it."""

from collections.abc import Iterable

from vlm3.datasets import get_facts
from vlm3.datasets.published import SetFacts

_HEAD = ("source", "data set", "layout read", "tasks", "verified on", "licence")
NOT_LOOKED_UP = "not looked up"
_OWN = ("yours", "of the set", "that of the set")


def licence_source(source: SetFacts) -> str:
    """Where the licence of a set was read; empty for data of one's own."""
    if source.licence.startswith(_OWN):
        return ""
    return source.licence_from or NOT_LOOKED_UP


def verified_on(source: SetFacts) -> str:
    """What the reader was checked on, and the files or code meant."""
    return f"{source.verified}: {source.against}" if source.against else source.verified


def markdown(names: Iterable[str]) -> str:
    """A Markdown table of these sources, a line each."""
    rows = [_HEAD, ("---",) * len(_HEAD)]
    for source in map(get_facts, names):
        found = licence_source(source)
        rows.append(
            (
                f"`{source.name}`",
                # The documents lie in docs/ themselves.
                f"[{source.title}]({source.url.removeprefix('docs/')})",
                f"`{source.layout.replace('|', '/')}`",
                ", ".join(source.tasks),
                verified_on(source),
                f"{source.licence} ({found})" if found else source.licence,
            )
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
