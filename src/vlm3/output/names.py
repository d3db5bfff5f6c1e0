"""Names of files to come: which endings there are, each once, in places that can be written.

Checked before a model loads. Knows no result.
"""

from collections.abc import Sequence
from pathlib import Path

from vlm3 import disk
from vlm3.errors import InputError
from vlm3.output.maps import require_exr

COLMAP = "a folder: a name without ending, for COLMAP"
"""Stands among the forms of a result that a COLMAP model can hold."""


def check_names(names: Sequence[str], forms: Sequence[str], *, advice: str = "") -> None:
    """Refuses names that nothing could be written to, and packages that are missing.

    Args:
        names: files and folders.
        forms: the endings there are, and `COLMAP`.
        advice: added where an ending is none of them.

    Raises:
        InputError: an ending without a form, one name twice, or a place that cannot be written.
        MissingDependencyError: OpenEXR or rerun is wanted and not installed.
    """
    for name in names:
        ending = Path(name).suffix.lower()
        if ending not in forms and not (ending == "" and COLMAP in forms):
            raise InputError(
                f"cannot write {name!r}: give a name that ends in {either(forms)}{advice}"
            )
        if ending == ".rrd":
            from vlm3.output.rerun import require_rerun

            require_rerun()
        if ending == ".exr":
            require_exr()
    check_places(names)


def check_places(names: Sequence[str]) -> None:
    """Refuses a place that cannot be written, and one that is named twice.

    Raises:
        InputError: says which.
    """
    paths = [Path(name).resolve() for name in names]
    for path in paths:
        if paths.count(path) > 1:
            raise InputError(f"{str(path)!r} is named twice; give every file its own name")
    for name in names:
        disk.check_place(name)


def either(forms: Sequence[str]) -> str:
    """Forms in words: endings, and a folder at last."""
    endings = " or ".join(form for form in forms if form != COLMAP)
    return f"{endings}, or give {COLMAP}" if COLMAP in forms else endings
