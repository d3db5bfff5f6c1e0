"""Attention over a packed row without its mask: torch's variable-length kernel, for `chat` packing.

A mask of a packed row of 16,000 tokens has a quarter of a billion places, nearly all of them false;
here conversations are told apart by where their text positions start again. Needs a GPU.
"""

from typing import Any

import torch

NAME = "varlen"


def register() -> None:
    """Makes the function known to transformers as attention `varlen`."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)


def bounds(position_ids: torch.Tensor) -> torch.Tensor:
    """Where the conversations of a row (1, T) start, and its end: (n + 1,) int32."""
    starts = (position_ids[0] == 0).nonzero()[:, 0]
    end = starts.new_tensor([position_ids.shape[1]])
    return torch.cat([starts, end]).to(torch.int32)


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
    ends = bounds(position_ids)
    longest = int(ends.diff().max())
    q, k, v = (part[0].transpose(0, 1).contiguous() for part in (query, key, value))
    out = _kernel(q, k, v, ends, longest, scaling)
    return out[None], None


def _kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    ends: torch.Tensor,
    longest: int,
    scaling: float,
) -> torch.Tensor:
    """(T, heads, width) of each of three, by torch's kernel."""
    from torch.nn.attention.varlen import varlen_attn

    out = varlen_attn(
        query,
        key,
        value,
        ends,
        ends,
        longest,
        longest,
        scale=scaling,
        window_size=(-1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    assert isinstance(out, torch.Tensor)
    return out
