"""OmniSpatial: reasoning about motion, logic, interaction and perspective, as choices.

    {"id": "0_0", "question": "...", "options": ["2.7s", ...], "answer": 0,
     "task_type": "Dynamic_Reasoning", "sub_task_type": "Motion_Analysis"}

From qizekun/OmniSpatial: the README has the entry, api_eval.py the picture (TASK_TYPE/NUMBER.png,
the number before the underscore) and the question with its options. Its system prompt stands before
the question in the published runs; here the question has its `direct` format, which
wants a letter alone. The published rows are means of five runs.
"""

from collections.abc import Iterator
from typing import Any

from vlm3.curation.intrinsics import calibrate_by
from vlm3.datasets.files import read_json
from vlm3.errors import InputError
from vlm3.eval.items import Item, Query, free_query
from vlm3.eval.readers import Wanted
from vlm3.eval.readers.files import opener
from vlm3.files.reading import below
from vlm3.files.schema import fields, list_of, text, whole

AFTER = (
    "Note: You only need to respond with A, B, C, or D without providing any additional "
    "information."
)
_LETTERS = "ABCDEFGHIJ"
_ROWS = list_of(
    fields(
        {
            "id": text(100),
            "question": text(20_000),
            "options": list_of(text(2000), least=2, most=len(_LETTERS)),
            "answer": whole(0, len(_LETTERS) - 1),
            "task_type": text(100),
            "sub_task_type": text(100),
        }
    )
)


def read(wanted: Wanted) -> Iterator[Item]:
    """One item a question, in the order of the file."""
    calibrate = calibrate_by(wanted.calibrator)
    for row in read_json(wanted.folder / "data.json", _ROWS)[: wanted.count]:
        name = f"{row['task_type']}/{row['id'].partition('_')[0]}.png"
        picture = opener(below(wanted.folder, name, "data.json"), None, calibrate)
        yield Item(name, (picture,), (query(row),))


def query(row: dict[str, Any]) -> Query:
    """One entry of the file as a question with its options.

    Raises:
        InputError: its answer is none of its options.
    """
    ident, options = f"{row['task_type']}_{row['id']}", row["options"]
    if row["answer"] >= len(options):
        raise InputError(f"entry {ident[:100]}: option {row['answer']} is none of its options")
    labels = list(_LETTERS[: len(options)])
    listed = "".join(f"{a}. {words}\n" for a, words in zip(labels, options, strict=True))
    form = {"kind": "choice", "labels": labels, "options": options}
    prompt = f"{row['question']}\n{listed}\n{AFTER}"
    return free_query(ident, row["sub_task_type"], prompt, form, {"option": row["answer"]})
