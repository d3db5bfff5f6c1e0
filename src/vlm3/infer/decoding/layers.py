"""The stock text layers with fewer kernels: their weights and their arithmetic, nothing else.

A token's pass through the library's layers is mostly small kernels: seven for a norm, ten for the
rotary turn, and what checks its arguments in between. Here a norm is one and a turn three. Both
families: Qwen2.5-VL has biases and no norms of queries and keys. Knows neither tokens nor text.
"""

from typing import Any, NamedTuple, Protocol

import torch
from torch.nn.functional import rms_norm, silu


class Projected(NamedTuple):
    """What a layer makes of new tokens for its attention.

    Attributes:
        query: (B, query heads, S, width).
        key: (B, heads, S, width).
        value: (B, heads, S, width).
        scale: factor of the scores.
    """

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    scale: float


class Attends(Protocol):
    """What stands before the tokens of a pass, and takes them up."""

    def attend(self, layer: int, new: Projected) -> torch.Tensor:
        """Attention of the new tokens to everything before them in their rows.

        Args:
            layer: index.
            new: the tokens.

        Returns:
            (B, S, query heads, width).
        """


class Turns:
    """The rotary turn of tokens at given places, made for the order in which halves are swapped.

    Args:
        rotary: the model's module.
        like: a tensor of the type and device of the hidden states.
        places: (B, S) M-RoPE positions, alike on all three axes.
    """

    def __init__(self, rotary: Any, like: torch.Tensor, places: torch.Tensor) -> None:
        cosine, sine = rotary(like, places.expand(3, *places.shape))
        if cosine.ndim == 4:  # One for each axis, all alike.
            cosine, sine = cosine[0], sine[0]
        half = cosine.shape[-1] // 2
        self.cosine = torch.unflatten(cosine[:, :, None], -1, (2, half))
        swapped = torch.unflatten(sine[:, :, None], -1, (2, half))
        self.sine = torch.cat([-swapped[..., :1, :], swapped[..., 1:, :]], dim=-2)

    def __call__(self, heads: torch.Tensor) -> torch.Tensor:
        """(B, S, heads, width) turned."""
        halves = torch.unflatten(heads, -1, (2, heads.shape[-1] // 2))
        swapped = torch.cat([halves[..., 1:, :], halves[..., :1, :]], dim=-2)
        return torch.addcmul(halves * self.cosine, swapped, self.sine).flatten(-2)


def _normed(norm: Any, x: torch.Tensor) -> torch.Tensor:
    return rms_norm(x, x.shape[-1:], norm.weight, norm.variance_epsilon)


def mixed(layer: Any, hidden: torch.Tensor, turns: Turns, before: Attends) -> torch.Tensor:
    """What a layer's attention adds to (B, S, width)."""
    attention = layer.self_attn
    shape = (*hidden.shape[:2], -1, attention.head_dim)
    x = _normed(layer.input_layernorm, hidden)
    query, key = attention.q_proj(x).view(shape), attention.k_proj(x).view(shape)
    if hasattr(attention, "q_norm"):
        query, key = _normed(attention.q_norm, query), _normed(attention.k_norm, key)
    # Turned together: the same turn for all heads.
    heads = [query.shape[2], key.shape[2]]
    query, key = torch.split(turns(torch.cat([query, key], dim=2)), heads, dim=2)
    value = attention.v_proj(x).view(shape)
    query, key, value = (one.transpose(1, 2) for one in (query, key, value))
    new = Projected(query, key, value, attention.scaling)
    out = before.attend(attention.layer_idx, new)
    added: torch.Tensor = attention.o_proj(out.flatten(2))
    return added


def gated(layer: Any, hidden: torch.Tensor) -> torch.Tensor:
    """(..., width) with what a layer's gated product adds."""
    x, mlp = _normed(layer.post_attention_layernorm, hidden), layer.mlp
    if not hasattr(mlp, "down_proj"):
        # A layer of experts, which takes nothing but (B, S, width).
        routed: torch.Tensor = mlp(x.view(1, -1, x.shape[-1])).view(x.shape)
        return hidden + routed
    added: torch.Tensor = mlp.down_proj(silu(mlp.gate_proj(x)) * mlp.up_proj(x))
    return hidden + added


def run(
    text: Any,
    ids: torch.Tensor,
    places: torch.Tensor,
    before: Attends,
    wanted: torch.Tensor | None,
) -> torch.Tensor:
    """A pass of the text model over the next tokens of rows.

    The last layer finishes only the tokens whose outcome is needed, which are often few.

    Args:
        text: the stock language model.
        ids: (B, S).
        places: (B, S) M-RoPE positions.
        before: what stands before them.
        wanted: (B,) which of the S tokens' outcome is needed; None for all.

    Returns:
        After the final norm, (B, width), or (B, S, width) of all.
    """
    hidden: torch.Tensor = text.embed_tokens(ids)
    turns = Turns(text.rotary_emb, hidden, places)
    for layer in text.layers[:-1]:
        hidden = gated(layer, hidden + mixed(layer, hidden, turns, before))
    last = text.layers[-1]
    hidden = hidden + mixed(last, hidden, turns, before)
    if wanted is not None:
        hidden = hidden.gather(1, wanted[:, None, None].expand(-1, 1, hidden.shape[2]))[:, 0]
    return _normed(text.norm, gated(last, hidden))
