"""The publishers' scorers, written a second time from their code, to be held against ours.

Each is given an answer and says whether it is right. Sources, with the commits read: CrossPoint
eval/extract_answers.py and calc_score.py @eabb482, lost-in-space src/dataset/utils.py @fb95640,
lmms-eval lmms_eval/tasks/{vsibench,3dsrbench}/utils.py @75571cf, ViewSpatial-Bench evaluate.py
@2e85a5e, OmniSpatial api_eval.py @208bac2 (direct), DepthVLM eval/eval.py @940a9ba.
"""

import base64
import io
import json
import re
from typing import Any

import numpy as np
from PIL import Image

Json = dict[str, Any]


def depthvlm_delta1(pictures: list[tuple[Any, Any]]) -> float:
    """Mean over pictures; predicted and true depth of each, of any shape."""
    found = []
    for p, g in pictures:
        p, g = np.ravel(p), np.ravel(g)
        valid = (p > 0) & (g > 0)
        ratio = np.maximum(p[valid] / g[valid], g[valid] / p[valid])
        found.append(float((ratio < 1.25).mean()) if valid.any() else 0.0)
    return sum(found) / len(found)


_CROSSPOINT_LETTERS = (
    r"\\boxed\{(?:\\text\{)?([ABCD])(?:\..*?)?\}",
    r"\((?:Choice\s+)?([ABCD])\)",
    r"\*\*Answer:\s*([ABCD])\*\*",
    r"\*\*([ABCD])\.\s*(?:Yes|No|Green dot|Yellow dot|Blue dot|Red dot)\*\*",
    r"(?:answer is|choose|correct answer is)\s*[:\s]*\*?\*?\(?([ABCD])\)?",
    r"(?:^|\n)\s*\*?([ABCD])\*?\.\s*(?:Yes|No)",
    r"\*\*([ABCD])\*\*",
    r"(?:^|\s|Answer:\s*)\(?([ABCD])\)?\s*[\.:]",
    r"^\s*\(?([ABCD])\)?\s*$",
)


def crosspoint_choice(text: str, row: Json) -> bool:
    """Letters first, then the last conclusion, then how the answer begins."""
    for pattern in _CROSSPOINT_LETTERS:
        found = re.findall(pattern, text, re.IGNORECASE | re.MULTILINE)
        if found:
            return bool(found[0].upper() == row["answer"])
    for pattern in (
        r"(?:Final Answer|Therefore|So|Hence|Thus|The correct answer is|The answer is)"
        r".*?(?:\\boxed\{([ABCD])\}|\*\*([ABCD])\*\*|\(?([ABCD])\)?)",
        r"Answer:\s*\(?([ABCD])\)?()",
    ):
        last = re.findall(pattern, text, re.IGNORECASE | re.DOTALL)
        if last:
            return bool(next(m for m in last[-1] if m).upper() == row["answer"])
    options = re.findall(
        r"([ABCD])\.([^A-D\n]+?)(?=\s*[ABCD]\.|$)", row["question"], re.IGNORECASE | re.DOTALL
    )
    for letter, words in options:
        if text.lower().strip().startswith(words.strip().lower()):
            return bool(letter.upper() == row["answer"])
    for bold in re.findall(r"\*\*(.*?)\*\*", text, re.DOTALL):
        for letter, words in options:
            if bold.strip().lower() == words.strip().lower():
                return bool(letter.upper() == row["answer"])
    return False


_CROSSPOINT_POINTS = (
    (r'<point\s+x="([0-9.]+)"\s+y="([0-9.]+)"[^>]*>.*?</point>', False),
    (r"(?:coordinates?|position|location).*?(?:are|is)\s+([0-9.]+),\s*([0-9.]+)", False),
    (r"[xX]\s*:\s*([0-9.]+).*?[yY]\s*:\s*([0-9.]+)", False),
    (r"[yY]\s*:\s*([0-9.]+).*?[xX]\s*:\s*([0-9.]+)", True),
    (r"\[([0-9.]+),\s*([0-9.]+)\]", False),
    (r"\(([0-9.]+),\s*([0-9.]+)\)", False),
    (r"([0-9.]+),\s*([0-9.]+)", False),
)


def crosspoint_point(text: str, row: Json, size: tuple[int, int]) -> bool:
    """JSON first, then the first pair of numbers; thousandths of the first picture."""
    xy = _json_point(text)
    for pattern, swapped in _CROSSPOINT_POINTS:
        found = None if xy else re.findall(pattern, text, re.IGNORECASE | re.DOTALL)
        if found:
            x, y = (float(v.rstrip(".")) for v in found[0])
            xy = (y, x) if swapped else (x, y)
    if xy is None:
        return False
    mask = np.array(Image.open(io.BytesIO(base64.b64decode(row["answer"]))))
    x, y = int(xy[0] / 1000 * size[0]), int(xy[1] / 1000 * size[1])
    inside = 0 <= x < mask.shape[1] and 0 <= y < mask.shape[0]
    return bool(inside and mask[y, x] > 128)


def _json_point(text: str) -> tuple[float, float] | None:
    blocks = re.findall(r"```json\s*(.*?)\s*```", text, re.DOTALL | re.IGNORECASE)
    if not blocks:
        for pattern in (r'\{[^{}]*"point_2d"[^{}]*\}', r'\{[^{}]*"(?:x|position)"[^{}]*\}'):
            blocks += re.findall(pattern, text, re.DOTALL)
    for block in blocks:
        try:
            data = json.loads(block)
        except json.JSONDecodeError:
            continue
        data = data[0] if isinstance(data, list) and data else data
        if isinstance(data, dict) and "point_2d" in data:
            return float(data["point_2d"][0]), float(data["point_2d"][1])
        if isinstance(data, dict) and "x" in data and "y" in data:
            return float(data["x"]), float(data["y"])
    return None


def vrrpi(text: str, gt_idx: int) -> bool:
    """The first digit in <ans>, else the last before </ans>, else the last of all."""
    digit = re.compile(r"\b(\d)\b")
    closed = re.search(r"<ans>(.*?)</ans>", text, re.DOTALL | re.IGNORECASE)
    if closed:
        return digit.findall(closed[1])[:1] == [str(gt_idx)]
    opened = re.search(r"<ans>(.*)", text, re.DOTALL | re.IGNORECASE)
    if opened and digit.findall(opened[1]):
        return digit.findall(opened[1])[0] == str(gt_idx)
    before = re.search(r"(.*?)</ans>", text, re.DOTALL | re.IGNORECASE)
    if before and digit.findall(before[1]):
        return digit.findall(before[1])[-1] == str(gt_idx)
    return digit.findall(text)[-1:] == [str(gt_idx)]


def vsi_choice(text: str, truth: str) -> bool:
    """The first word without its full stop is the letter."""
    return text.split(" ")[0].rstrip(".").strip().lower() == truth.lower()


def vsi_number(text: str, truth: float) -> float:
    """The first number, in digits; the share of ten thresholds that it meets."""
    found = re.search(r"-?\d+(?:\.\d+)?", text.strip().lower())
    if found is None:
        return 0.0
    off = abs(float(found[0]) - truth) / truth
    return float(np.mean([off <= 1 - t for t in np.linspace(0.5, 0.95, 10)]))


_THREEDSR = (
    r"^([A-D])[\.\s\)]",
    r"^([A-D])$",
    r"[Aa]nswer[:\s]+([A-D])",
    r"[Tt]he answer is[:\s]+([A-D])",
    r"[Mm]y answer is[:\s]+([A-D])",
    r"\(([A-D])\)",
    r"([A-D])\.",
    r"\b([A-D])\b",
)


def threedsr(text: str, truth: str) -> bool:
    """The first pattern that is found, its first place."""
    for pattern in _THREEDSR:
        if found := re.search(pattern, text.strip()):
            return found[1] == truth
    return False


def viewspatial(text: str, truth: str) -> bool:
    """The first lone letter, in any case, of the last line."""
    found = re.search(r"\b([A-D])\b", text.split("\n")[-1], re.IGNORECASE)
    return found is not None and found[1].upper() == truth


def omnispatial_direct(text: str, truth: str) -> bool:
    """The first character."""
    return text.strip().upper()[:1] == truth
