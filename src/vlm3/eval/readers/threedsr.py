"""3DSRBench: heights, places, orientations and several objects in one picture, as choices.

Columns, as lmms-eval's 3dsrbench/utils.py reads them: index, question, A to D (absent or "nan"
where there are fewer), answer, category, image, and qid in the circular configuration. The words
around the question are those of its default setting. Rows whose ids are NAME-1 or NAME-flip are
other forms of the question NAME.
"""

from collections.abc import Iterator
from typing import Any

from vlm3.curation.intrinsics import calibrate_by
from vlm3.errors import InputError
from vlm3.eval.items import Item, free_query
from vlm3.eval.readers import Wanted
from vlm3.eval.readers.tables import picture, rows_of
from vlm3.files.reading import short
from vlm3.files.schema import anything, fields, text

AFTER = "Please select the correct answer from the options above. \n"
_ROW = fields(
    {"index": anything, "question": text(20_000), "answer": text(10), "category": text(100)}
)


def read(wanted: Wanted) -> Iterator[Item]:
    """One item a question, in the order of the table."""
    calibrate = calibrate_by(wanted.calibrator)
    rows = rows_of(wanted.folder, wanted.benchmark.data_format, pictures=("image",))
    for place, (where, row) in enumerate(rows):
        if place >= wanted.count:
            return
        _ROW(row, where)
        options = options_of(row)
        if row["answer"] not in options or "image" not in row:
            raise InputError(
                f"{where}: no image, or the answer {short(row['answer'])} is no option"
            )
        form = {"kind": "choice", "labels": list(options), "options": list(options.values())}
        truth = {"option": list(options).index(row["answer"])}
        ident = f"{row.get('qid') or row['index']}"
        query = free_query(ident, row["category"], prompt_of(row["question"], options), form, truth)
        opened = picture(wanted.folder, row["image"], calibrate=calibrate)
        yield Item(ident, (opened,), (query,))


def options_of(row: dict[str, Any]) -> dict[str, str]:
    """Its options by their letters, those that there are."""
    given = {letter: row.get(letter) for letter in "ABCD"}
    return {k: str(v) for k, v in given.items() if v is not None and str(v).lower() != "nan"}


def prompt_of(question: str, options: dict[str, str]) -> str:
    """The question as lmms-eval writes it."""
    listed = "".join(f"{letter}. {words}\n" for letter, words in options.items())
    return f"Question: {question}\nOptions:\n{listed}{AFTER}"
