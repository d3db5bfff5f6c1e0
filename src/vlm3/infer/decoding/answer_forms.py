"""What a protocol's answers look like, for constrained decoding: templates with bounds.

The bounds are what the parsers read back, so that a text of such a form is never refused.
"""

from functools import cache

from vlm3.infer.decoding.grammar import Grammar
from vlm3.tasks.protocol import Protocol, get_protocol
from vlm3.tasks.writing import FINEST_M

# Far beyond any scene; a longer number would only be a slip.
_LARGEST_M = 99_999.99


def answer_form(protocol: Protocol, component: str) -> Grammar:
    """The grammar of an answer.

    Args:
        protocol: whose words.
        component: "depth", "correspondence", "pose.rotation", ...

    Raises:
        InputError: the protocol has no such answer.
    """
    protocol.template(f"{component}.answer")
    return _form(protocol.name, component)


@cache
def _form(name: str, component: str) -> Grammar:
    protocol = get_protocol(name)
    direction = component == "pose.direction"
    last = float(protocol.norm_size - protocol.half_open)
    side = (-1.0, 1.0) if direction else (0.0, last)
    bounds = {
        "metres": (FINEST_M, _LARGEST_M),
        "degrees": (0.1, 179.9) if component == "fov" else (0.0, 180.0),
        **dict.fromkeys(("x", "y", "z"), side),
        **dict.fromkeys(("yaw", "pitch", "roll"), (-359.9, 359.9)),
    }
    return Grammar.of_template(protocol.template(f"{component}.answer"), bounds, joint=direction)
