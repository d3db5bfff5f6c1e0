"""Attention over a packed row without its mask: torch's variable-length kernel, for `chat` packing.

A mask of a packed row of 16,000 tokens has a quarter of a billion places, nearly all of them false;
here a conversation begins where the text positions start again. Needs a GPU.
"""

import inspect
import threading
from typing import Any, NamedTuple

import torch

from vlm3.train.tree import computed_in

NAME = "varlen"


def register() -> None:
    """Makes the function known to transformers as attention `varlen`."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)


class Bounds(NamedTuple):
    """Where the conversations of a packed row lie.

    Attributes:
        ends: (n + 1,) int32, where each starts, and the end of the last.
        longest: tokens of the longest.
    """

    ends: torch.Tensor
    longest: int


def bounds(position_ids: torch.Tensor) -> Bounds:
    """Of a row (1, T) of text positions, which start again at 0 with every conversation."""
    starts = (position_ids[0] == 0).nonzero()[:, 0]
    end = starts.new_tensor([position_ids.shape[1]])
    ends = torch.cat([starts, end]).to(torch.int32)
    return Bounds(ends, int(ends.diff().max()))


class _LastBatch(threading.local):
    """The bounds of the row whose layers are being computed: determined once, not in every layer.

    On a GPU finding them waits for the device twice; the layers of a pass, and the recomputation
    of them, are all given the same positions.
    """

    positions: torch.Tensor | None = None
    version: int = -1
    found: Bounds | None = None

    def of(self, position_ids: torch.Tensor) -> Bounds:
        """The bounds of these positions, kept until others come."""
        # Tensors of inference mode count no changes: nothing writes into these.
        version = 0 if position_ids.is_inference() else position_ids._version
        if self.found is None or self.positions is not position_ids or self.version != version:
            self.found = bounds(position_ids)
            self.positions, self.version = position_ids, version
        return self.found


_last = _LastBatch()


@torch.compiler.disable  # type: ignore[untyped-decorator]
def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    *,
    position_ids: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each conversation, as transformers calls it.

    Args:
        module: not used.
        query: (1, heads, T, width).
        key: (1, key-value heads, T, width).
        value: as key.
        attention_mask: None: a mask would not be seen.
        scaling: of the products.
        position_ids: (1, T) text positions.

    Returns:
        (1, T, heads, width), and None for weights that are never made.
    """
    if attention_mask is not None or position_ids is None or query.shape[0] != 1:
        raise ValueError("varlen attention takes one packed row, with text positions and no mask")
    ends, longest = _last.of(position_ids)
    kind = computed_in(value)
    # The kernel asks for contiguous heads only: a view, and no copy.
    q, k, v = (part[0].transpose(0, 1).to(kind) for part in (query, key, value))
    out = attention(q, k, v, ends, longest, scaling)
    return out[None], None


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    ends: torch.Tensor,
    longest: int,
    scaling: float,
) -> torch.Tensor:
    """(T, heads, width) of each of three, by torch's kernel."""
    from torch.nn.attention.varlen import varlen_attn

    # Its arguments differ between torch 2.9 (no scale, no window) and 2.12 (grouped queries).
    known = inspect.signature(varlen_attn).parameters
    how: dict[str, Any] = {"scale": scaling} if "scale" in known else {}
    if not how:
        query = query * (scaling * query.shape[-1] ** 0.5)
    how |= {"window_size": (-1, 0)} if "window_size" in known else {"is_causal": True}
    groups = query.shape[1] // key.shape[1]
    if groups > 1 and "enable_gqa" in known:
        how["enable_gqa"] = True
    elif groups > 1:
        key, value = (part.repeat_interleave(groups, dim=1) for part in (key, value))
    out = varlen_attn(query, key, value, ends, ends, longest, longest, **how)
    assert isinstance(out, torch.Tensor)
    return out
