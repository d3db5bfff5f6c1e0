"""What a model thought aloud, taken away from what it wrote, in the tags of a dozen families.

Every pattern repeats a bounded number of times. `reading` knows the tags of the protocols alone.
"""

import re
from itertools import islice

from vlm3.tasks.reading import spoken_between

_THOUGHT = (
    r"(?:ant|seed:|mm:)?(?:think|thinking|thought|thoughts|reasoning|reason|reflection|reflect"
    r"|scratchpad|analysis|rationale|cot|inner_monologue|chain_of_thought)"
)
_TAG = re.compile(
    rf"[<\[◁]\|? {{0,2}}(?P<close>/?)(?:(?P<think>{_THOUGHT})|(?P<answer>answer|final_answer))"
    r"(?: [^<>\n]{0,40})?\|?[>\]▷]"
    r"|<\|(?P<edge>begin|start|end)_(?:of_)?(?:thought|thinking|think|reasoning)\|>"
    r"|<unused(?P<gemma>94|95)>"
    r"|(?P<gemma_open><\|channel>thought)|(?P<gemma_close><channel\|>)",
    re.IGNORECASE,
)
_CHANNEL = re.compile(r"<\|channel\|>final(?:<\|constrain\|>\w{1,20})?<\|message\|>", re.IGNORECASE)
# The same with its tokens lost, as some servers print it.
_BARE_CHANNEL = re.compile(r"\Aanalysis(?=[A-Z])")


# A text with more tags is a loop, not an answer.
_MOST_TAGS = 1000


def without_thinking(text: str) -> str:
    """The text without what its model thought aloud, in whichever tags.

    Thinking runs from an opening tag to a closing one; where it is not closed, to the next answer
    tag or to the end; where it was not opened, from the start.
    """
    if "<|channel|>" in text:
        finals = list(_CHANNEL.finditer(text))
        return text[finals[-1].end() :] if finals else ""
    if "...done thinking." in text:
        return text.rpartition("...done thinking.")[2]
    if _BARE_CHANNEL.match(text) and "assistantfinal" in text:
        return text.rpartition("assistantfinal")[2]
    tags = list(islice(_TAG.finditer(text), _MOST_TAGS)) if re.search(r"[<\[◁]", text) else []
    if len(tags) == _MOST_TAGS:
        return ""
    marks = []
    for tag in tags:
        if tag["answer"]:
            kind = "" if tag["close"] else "answer"
        elif tag["think"]:
            # Square brackets are thinking only as Mistral writes them.
            kind = "" if tag[0][0] == "[" and tag["think"] != "THINK" else tag["close"] + "think"
        elif tag["gemma_open"] or tag["gemma"] == "94" or (tag["edge"] or "end").lower() != "end":
            kind = "think"
        else:
            kind = "/think"
        if kind:
            marks.append((kind, tag.start(), tag.end()))
    spoken = spoken_between(text, marks)
    aside = spoken
    for _ in range(3 if "</" in spoken else 0):
        aside = _ASIDE.sub("", aside)
    return aside if aside.strip() else spoken


# A tag of no known name around a part of the text, with more text outside, is an aside.
_ASIDE = re.compile(
    r"<((?!(?:answer|final|output|result|response|solution|point|ref|box|quad|value|text|b|i|u|em"
    r"|strong|p|br|span|sub|sup|code|pre|ul|ol|li|td|th|tr|div|mark|h[1-6]|table|html|body)\b)"
    r"[a-z][a-z_:-]{2,30})>[^<>]{0,20000}</\1>",
    re.IGNORECASE,
)
