r"""What surrounds an answer, taken away: chat tokens, Markdown, LaTeX, JSON, marks.

`framed` gives the text of the answer as plain words, and beside it what follows an answer that was
marked as the final one (`<answer>`, `\boxed`, "Answer:"), where a model may still correct itself.
What was thought aloud is taken away by `thinking`; what the words mean is not known here. Every
pattern repeats a bounded number of times, so that the time is linear in the length of the text.
"""

import re
from dataclasses import dataclass

from vlm3.tasks.base import ParseFailure
from vlm3.tasks.free_text.flat_json import flattened
from vlm3.tasks.free_text.statements import corrections
from vlm3.tasks.free_text.thinking import without_thinking
from vlm3.tasks.reading import MAX_CHARS

# A line that is a value and little else.
_ALONE = re.compile(r"^(?=[^\n]*[0-9])[^:\n]{1,24}$", re.MULTILINE)


@dataclass(frozen=True)
class Framed:
    """An answer without its frame, lower case, lines kept, spaces single.

    Attributes:
        body: the answer; the marked part where one is marked.
        tail: what follows the marked part.
        marked: whether a part was marked as the answer.
    """

    body: str
    tail: str = ""
    marked: bool = False

    @property
    def answer(self) -> str:
        """The body, and the tail with it where the tail takes the body back or says another."""
        if self.tail and (corrections("\n" + self.tail) or _ALONE.search(self.tail)):
            return f"{self.body}\n{self.tail}"
        return self.body


# An answer longer than this is one only where it is marked, near the end.
_LONGEST = 20_000


def framed(text: str) -> Framed | ParseFailure:
    """The answer in a text; a failure where it is empty, all thinking, or too long."""
    if len(text) > MAX_CHARS:
        return ParseFailure(text, f"longer than {MAX_CHARS} characters")
    spoken = without_thinking(text)
    body, tail, marked = _tagged(spoken)
    whole = len(body) <= _LONGEST
    body, tail = plain(body[-_LONGEST:]), plain(tail[:_LONGEST])
    if not marked:
        body, tail, marked = _announced(body)
    if not (marked or whole):
        return ParseFailure(text, f"longer than {_LONGEST} characters without a marked answer")
    return Framed(body, tail, marked) if body else ParseFailure(text, "empty")


_ANSWER_TAG = re.compile(
    r"<(answer|final_answer|final|output|result)>((?:[^<]|<(?!/?(?:answer|final_answer|final|output"
    r"|result)>)){0,20000})(?:</\1>|\Z)"
    r"|<\|begin_of_box\|>((?:[^<]|<(?!\|)){0,20000})(?:<\|end_of_box\|>|\Z)",
    re.IGNORECASE,
)
_UNIT_AFTER = re.compile(r"[$ ~\\,]{0,6}(?:text\{ ?)?([a-z°]{1,12})\b", re.IGNORECASE)


def _tagged(text: str) -> tuple[str, str, bool]:
    """The parts inside answer tags or boxes, one a line, and what follows the last of them."""
    if "<" in text:
        tags = list(_ANSWER_TAG.finditer(text))
        if tags:
            if corrections(text[tags[0].end() : tags[-1].start()].lower()):
                tags = tags[-1:]
            inner = "\n".join((tag[2] if tag[1] else tag[3]).strip() for tag in tags)
            return _tagged(inner)[0], text[tags[-1].end() :], True
    boxes: list[str] = []
    at = end = last = 0
    while (at := text.find("\\boxed", at)) >= 0 and len(boxes) < 20:
        if boxes and corrections(text[last:at].lower()):
            boxes.clear()
        content, end = _braced(text, at + len("\\boxed"))
        after = _UNIT_AFTER.match(text, end)
        boxes.append(content + (f" {after[1]}" if after else ""))
        at = last = end
    if boxes:
        return "\n".join(boxes), text[end:], True
    return text, "", False


def _braced(text: str, start: int) -> tuple[str, int]:
    """What stands in the braces that open at `start`, and where they end."""
    if not text.startswith("{", start):
        word = re.compile(r" ?\S{0,40}").match(text, start)
        return (word[0], word.end()) if word else ("", start)
    depth = 0
    for at in range(start, min(len(text), start + 2000)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[start + 1 : at], at + 1
    return text[start + 1 : start + 2000], min(len(text), start + 2000)


# Latin letters, digits and signs of full width, and what typography has for ASCII.
_CHARS: dict[int, str | None] = {0xFF01 + k: chr(0x21 + k) for k in range(94)}
_CHARS |= {
    ord(c): " " for c in "\t\v\f\r\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
}
_CHARS |= {ord(c): " " for c in "\u2008\u2009\u200a\u202f\u205f\u3000"}
_CHARS |= dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
_CHARS |= {ord(c): "'" for c in "’‘´`′ʹ"} | {ord(c): '"' for c in "“”″„"}
_CHARS |= {ord(c): "~" for c in "≈∼≃≅≒"} | {ord(c): "-" for c in "\u2212\u2010\u2011"}
_CHARS |= {ord(c): "\n• " for c in "•▪◦‣●"} | {ord(c): "->" for c in "→⟶⇒➜➔"}
_CHARS |= {ord("≥"): ">=", ord("⩾"): ">=", ord("≤"): "<=", ord("⩽"): "<="}
_CHARS |= {ord("º"): "°", ord("…"): "...", ord("§"): " ", ord("∗"): "*"}
_FRACTIONS = "½1/2 ⅓1/3 ⅔2/3 ¼1/4 ¾3/4 ⅕1/5 ⅖2/5 ⅗3/5 ⅘4/5 ⅙1/6 ⅚5/6 ⅛1/8 ⅜3/8 ⅝5/8 ⅞7/8"
_CHARS |= {ord(pair[0]): f" {pair[1:]}" for pair in _FRACTIONS.split()}

_FONTS = "text|mathrm|mathbf|textbf|mathit|textit|operatorname|mbox|bf|rm"
_LATEX = (
    (re.compile(rf"\\(?:{_FONTS}) ?\{{([^{{}}]{{0,200}})\}}"), r"\1"),
    (re.compile(rf"\\(?:{_FONTS})\b"), ""),
    (re.compile(r"\\d?frac ?\{([^{}]{1,40})\} ?\{([^{}]{1,40})\}"), r"\1/\2"),
    (re.compile(r"\^ ?\{? ?\\circ ?\}?|\\degree"), "°"),
    (re.compile(r"\\(?:approx|sim|simeq|thickapprox)\b"), " ~ "),
    (re.compile(r"\\(?:times|cdot)\b"), " × "),
    (re.compile(r"\\pm\b"), " ± "),
    (re.compile(r"\\(?:geq?|geqslant)\b"), " >= "),
    (re.compile(r"\\(?:leq?|leqslant)\b"), " <= "),
    (re.compile(r"\\(?:to|rightarrow|longrightarrow|Rightarrow|mapsto|implies)\b"), " -> "),
    (re.compile(r"\\(?:[()\[\],;:! ]|quad\b|qquad\b|left\b|right\b)"), " "),
    (re.compile(r"\\\\"), "\n"),
    (re.compile(r"\$"), ""),
)
# The characters that any of which must stand in a text for the pattern to match.
_MARKDOWN = (
    ("`~", re.compile(r"```[a-z0-9_+-]{0,20}\n?|~~~[a-z]{0,20}\n", re.IGNORECASE), "\n"),
    ("~", re.compile(r"~~[^~\n]{1,200}~~"), ""),
    (
        "<",
        re.compile(r"<(?:br|p|li|tr|div|h[1-6]) ?/?>|</(?:p|li|tr|div|h[1-6])>", re.IGNORECASE),
        "\n",
    ),
    (
        "<",
        re.compile(r"</?(?:b|i|u|em|strong|span|sub|sup|code|pre|ul|ol|td|th|mark)>", re.I),
        "",
    ),
    (
        "<",
        re.compile(r"<\|[a-z_]{1,30}\|>|<(?:/?s|eos|bos|end_of_turn|start_of_turn)>", re.I),
        " ",
    ),
    (
        "#-*_=+•0123456789",
        re.compile(
            r"^ {0,8}(?:#{1,6} |[-*_=]{3,40} {0,4}$|[-*+•] |[0-9]{1,2}[.)] {1,4}(?=[a-z*~]))",
            re.I | re.M,
        ),
        "",
    ),
    # A quotation, unless a number follows: that is "more than".
    (">", re.compile(r"^ {0,8}> ?(?= {0,4}[*_#\"']{0,3}[a-z])", re.I | re.M), ""),
    ("*", re.compile(r"(?<=[0-9a-z)] )\*(?= [0-9(])"), "×"),
    ("*", re.compile(r"\*{1,3}"), ""),
    ("_", re.compile(r"(?<!\w)_{1,3}(?=\S)|(?<=\S)_{1,3}(?!\w)"), ""),
    ("|", re.compile(r" {0,4}\|(?: {0,4}[:-]{2,30} {0,4}\|){0,30} {0,4}"), " , "),
)
_SHORT = (
    # 2.9 [m]
    (re.compile(r"(?<=[0-9]) ?[\[(](mm|cm|m|ft|in|met(?:er|re)s|feet|inches)[\])]"), r" \1"),
    (re.compile(r"\bapprox\."), "approx"),
    (re.compile(r"\bi\. ?e\.,?"), "that is"),
    (re.compile(r"\be\. ?g\.,?"), "for example"),
    (re.compile(r"\bvs\."), "vs"),
    (re.compile(r"''"), '"'),
)


def plain(text: str) -> str:
    """Plain words in lower case: no mark-up, typographic signs made ASCII, lines kept."""
    text = text.translate(_CHARS) if not text.isascii() else text
    if "\\" in text or "$" in text:
        # There a tilde is a space.
        text = re.sub(r"(?<=[0-9{}a-z])~", " ", text)
        for pattern, by in _LATEX:
            text = pattern.sub(by, text)
    for signs, pattern, by in _MARKDOWN:
        if any(sign in text for sign in signs):
            text = pattern.sub(by, text)
    text = text.lower().replace("`", "")
    if "{" in text:
        text = flattened(text)
    if any(sign in text for sign in ".'[("):
        for pattern, by in _SHORT:
            text = pattern.sub(by, text)
    lines = (" ".join(line.split()).strip(" ,") for line in text.split("\n"))
    return _unquoted("\n".join(line for line in lines if line))


def _unquoted(text: str) -> str:
    """A text without the quotation marks or brackets around the whole of it."""
    for opening, closing in ('""', "''", "()"):
        inner = text[1:-1]
        around = len(text) > 2 and text[0] == opening and text[-1] == closing
        if (
            around
            and not ({opening, closing} & set(inner))
            and not (opening == "(" and inner[0].isdigit())
        ):
            return inner.strip()
    return re.sub(r"\A\[([a-z ]{2,20})\]\Z", r"\1", text)


_ANNOUNCED = re.compile(
    r"(?:\A|[\n.!?;:,] ?|\b(?:so|thus|therefore|hence|believe|think|say|that|and),? )"
    r"(?:the |my |your )?(?:(?:final|correct|best|short|overall|direct) ){0,2}"
    r"(?:answer|result|conclusion|estimate|guess|verdict)"
    r"(?: (?:for|to|of|here|about) [^.:\n]{0,60}?)?"
    r"(?: ?[:=] ?(?:is |~ ?)?| (?:is|would be|will be|=)(?: that)?[: ] ?)"
)


def _announced(body: str) -> tuple[str, str, bool]:
    """What follows the last "Answer:" up to the end of its line, and the rest."""
    if not any(w in body for w in ("answer", "result", "conclusion", "estimate", "guess", "verd")):
        return body, "", False
    found = None
    for found in _ANNOUNCED.finditer(body):  # noqa: B007
        pass
    if found is None:
        return body, "", False
    line, _, tail = body[found.end() :].lstrip("\n ").partition("\n")
    return (line, tail, True) if line else (body, "", False)
