"""Pairs chosen among many pictures, in the terms of COLMAP and hloc.

`sequential` is each picture with the next ones, `exhaustive` every pair once, `first` (a word of
ours) the first picture with every other one, and anything else a file with two names a line. Knows
no model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from vlm3.cli.picture_sources import PictureSource, find_sources
from vlm3.errors import InputError

SEQUENTIAL, EXHAUSTIVE, FIRST = "sequential", "exhaustive", "first"


@dataclass(frozen=True)
class PicturePair:
    """Two pictures to come.

    Attributes:
        name: of the files made from them, without ending; no two pairs share one.
        pictures: the first, in whose frame answers are, and the second.
    """

    name: str
    pictures: tuple[PictureSource, PictureSource]

    @property
    def content(self) -> str:
        """Digest of both."""
        return " ".join(source.content for source in self.pictures)

    @property
    def origins(self) -> list[str]:
        """What messages call the two."""
        return [source.origin for source in self.pictures]


def find_pairs(
    arguments: Sequence[str], every_s: float | None, how: str, overlap: int
) -> list[PicturePair]:
    """The pairs of the pictures that files, folders, patterns and videos stand for.

    Args:
        arguments: see `find_sources`.
        every_s: see `find_sources`.
        how: sequential, exhaustive, first, or the path of a file of pairs. A file names pictures as
            they were given, by file name, by their path in a folder that was given, or, of a
            video's frames, by the name of its files (walk_00.50s). Where names hold spaces, a tab
            goes between the two. Lines that begin with # are none.
        overlap: how many of the next pictures each goes with, of sequential ones.

    Raises:
        InputError: fewer than two pictures, or a file that cannot be read or names what is not
            there.
    """
    if how not in (SEQUENTIAL, EXHAUSTIVE, FIRST):
        return _named(_listed(find_in_file(Path(how), arguments, every_s)))
    sources = list(dict.fromkeys(find_sources(arguments, every_s)))
    if len(sources) < 2:
        raise InputError(f"pairs need two pictures or more; only {sources[0].origin} came")
    if how == EXHAUSTIVE:
        return _named(list(combinations(sources, 2)))
    if how == FIRST:
        return _named([(sources[0], other) for other in sources[1:]])
    return _named(
        [
            (sources[i], sources[j])
            for i in range(len(sources))
            for j in range(i + 1, min(i + overlap + 1, len(sources)))
        ]
    )


def find_in_file(
    path: Path, arguments: Sequence[str], every_s: float | None
) -> list[tuple[PictureSource, PictureSource]]:
    """The pairs that a file's lines name, in their order."""
    lines = list(_lines(path))
    if not lines:
        raise InputError(f"{str(path)!r} holds no pairs; give two names of pictures a line")
    folders = [Path(argument) for argument in arguments if Path(argument).is_dir()]
    singles = [argument for argument in arguments if not Path(argument).is_dir()]
    in_folders = {
        name: str(folder / name)
        for _, names in lines
        for name in names
        for folder in folders
        if (folder / name).is_file()
    }
    known: dict[str, PictureSource] = {}
    chosen = [*singles, *dict.fromkeys(in_folders.values())]
    for source in find_sources(chosen, every_s) if chosen else ():
        for name in (source.name, source.path.name, source.origin):
            # A frame is not its video.
            if source.at_s is None or name != source.path.name:
                known.setdefault(name, source)
    known |= {name: known[there] for name, there in in_folders.items()}
    found = []
    for number, (first, second) in lines:
        for name in (first, second):
            if name not in known:
                raise InputError(
                    f"line {number} of {str(path)!r} names {name!r}, which is none of the "
                    "pictures given and in none of the folders; give names as they are there"
                )
        if known[first] == known[second]:
            raise InputError(
                f"line {number} of {str(path)!r} pairs {first!r} with itself; give two pictures"
            )
        found.append((known[first], known[second]))
    return found


def _lines(path: Path) -> Iterator[tuple[int, tuple[str, str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(
            f"--pairs is {str(path)!r}, which is neither {SEQUENTIAL} nor {EXHAUSTIVE} nor {FIRST} "
            "nor a file there"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the pairs {str(path)!r} cannot be read as text ({error})") from error
    for number, line in enumerate(text.splitlines(), 1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        names = [name.strip() for name in (words.split("\t") if "\t" in words else words.split())]
        if len(names) != 2 or not all(names):
            raise InputError(
                f"line {number} of {str(path)!r} is {words[:80]!r}; give two names, with a space "
                "between, or a tab where names hold spaces"
            )
        yield number, (names[0], names[1])


def _listed(
    pairs: Sequence[tuple[PictureSource, PictureSource]],
) -> list[tuple[PictureSource, PictureSource]]:
    """Each pair once."""
    return list(dict.fromkeys(pairs))


def _named(pairs: Sequence[tuple[PictureSource, PictureSource]]) -> list[PicturePair]:
    names: set[str] = set()
    found = []
    for a, b in pairs:
        name = stem = f"{a.name}__{b.name}"
        count = 1
        while name.lower() in names:
            count += 1
            name = f"{stem}_{count}"
        names.add(name.lower())
        found.append(PicturePair(name, (a, b)))
    return found
