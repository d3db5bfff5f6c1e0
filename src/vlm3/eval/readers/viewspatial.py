r"""ViewSpatial-Bench: directions and orientations from a camera's or a person's view, as choices.

    {"question_type": "Camera perspective - Relative Direction", "image_path":
     ["ViewSpatial-Bench/scannetv2_val/scene0011_00/original_images/280.jpg"], "question": "...",
     "answer": "A. right", "choices": "A. right\nB. front-up\nC. back-left\nD. front"}

From ZJU-REAL/ViewSpatial-Bench: eval/ViewSpatial-Bench.json, and the words around the question of
evaluate.py.
"""

from collections.abc import Iterator
from typing import Any

from vlm3.curation.intrinsics import calibrate_by
from vlm3.datasets.files import read_json
from vlm3.errors import InputError
from vlm3.eval.items import Item, Query, free_query
from vlm3.eval.readers import Wanted
from vlm3.eval.readers.files import opener
from vlm3.files.reading import below, short
from vlm3.files.schema import fields, list_of, text

AFTER = "Reply only to the corresponding option.\nAnswer:"
_ROWS = list_of(
    fields(
        {
            "question_type": text(200),
            "image_path": list_of(text(1024), least=1, most=100),
            "question": text(20_000),
            "answer": text(1000),
            "choices": text(5000),
        }
    )
)


def read(wanted: Wanted) -> Iterator[Item]:
    """One item a question, in the order of the file."""
    name = "ViewSpatial-Bench.json"
    paths = [wanted.folder / name, wanted.folder / "eval" / name]
    path = next((p for p in paths if p.is_file()), paths[0])
    calibrate = calibrate_by(wanted.calibrator)
    for place, row in enumerate(read_json(path, _ROWS)[: wanted.count]):
        pictures = tuple(
            opener(below(wanted.folder, image, name), None, calibrate)
            for image in row["image_path"]
        )
        yield Item("+".join(row["image_path"]), pictures, (query(f"{place:05d}", row),))


def query(ident: str, row: dict[str, Any]) -> Query:
    """One entry of the file as a question with its choices.

    Raises:
        InputError: its answer is none of its choices.
    """
    lines = [line.strip() for line in row["choices"].splitlines() if line.strip()]
    labels = [line.partition(".")[0].strip() for line in lines]
    options = [line.partition(".")[2].strip() for line in lines]
    letter = row["answer"].strip().partition(".")[0].strip()
    if letter not in labels:
        raise InputError(f"entry {ident}: the answer {short(row['answer'])} is none of its choices")
    prompt = f"Question: {row['question']}\nChoices: {row['choices']}\n{AFTER}"
    form = {"kind": "choice", "labels": labels, "options": options}
    return free_query(ident, row["question_type"], prompt, form, {"option": labels.index(letter)})
