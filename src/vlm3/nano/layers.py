"""Layers of the stock Qwen3-VL as plain functions of activations and weights.

They take weights as arguments, so that each is compiled once and not once a layer. Weights are kept
in float32 and used in the type of the activations.
"""

import torch
from torch.nn import functional

Tensor = torch.Tensor
_EPSILON = 1e-6


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A layer whose weights are kept in float32 and used in the type of the activations."""
    return functional.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """In float32."""
    return functional.layer_norm(x.float(), x.shape[-1:], weight, bias, _EPSILON).to(x.dtype)


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """In float32."""
    y = x.float()
    return (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + _EPSILON) * weight).to(x.dtype)


def rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary positions on x (..., T, d); cosine and sine (T, d)."""
    one, two = x.float().chunk(2, -1)
    turned = torch.cat((-two, one), -1)
    return (x.float() * cosine + turned * sine).to(x.dtype)


def vision_before(
    h: Tensor, cosine: Tensor, sine: Tensor, heads: int, weights: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """A vision layer up to its attention: q, k, v (B, heads, N, d)."""
    norm, norm_bias, qkv, qkv_bias = weights
    batch, count, width = h.shape
    x = linear(layer_norm(h, norm, norm_bias), qkv, qkv_bias)
    q, k, v = x.view(batch, count, 3, heads, width // heads).permute(2, 0, 3, 1, 4).unbind(0)
    return rotated(q, cosine, sine), rotated(k, cosine, sine), v


def vision_after(h: Tensor, attended: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
    """A vision layer from its attention on."""
    out, out_bias, norm, norm_bias, up, up_bias, down, down_bias = weights
    h = h + linear(attended.transpose(1, 2).reshape(h.shape), out, out_bias)
    x = linear(layer_norm(h, norm, norm_bias), up, up_bias)
    return h + linear(functional.gelu(x, approximate="tanh"), down, down_bias)


def text_before(
    h: Tensor, cosine: Tensor, sine: Tensor, weights: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """A text layer up to its attention: q (B, heads, T, d), k and v (B, key heads, T, d)."""
    norm, query, key, value, query_norm, key_norm = weights
    batch, count, _ = h.shape
    shape = (batch, count, -1, query_norm.shape[0])
    x = rms_norm(h, norm)
    q = rms_norm(linear(x, query).view(shape), query_norm).transpose(1, 2)
    k = rms_norm(linear(x, key).view(shape), key_norm).transpose(1, 2)
    v = linear(x, value).view(shape).transpose(1, 2)
    return rotated(q, cosine, sine), rotated(k, cosine, sine), v


def text_after(h: Tensor, attended: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
    """A text layer from its attention on."""
    out, norm, gate, up, down = weights
    batch, count, _ = h.shape
    h = h + linear(attended.transpose(1, 2).reshape(batch, count, -1), out)
    x = rms_norm(h, norm)
    return h + linear(functional.silu(linear(x, gate)) * linear(x, up), down)


def attention_of_questions(
    q: Tensor, k: Tensor, v: Tensor, prefix_k: Tensor, prefix_v: Tensor, count: int
) -> Tensor:
    """Attention of questions to the prefix and, causal, each to itself.

    Two products and one softmax over both: a mask of all by all would be five times the work.

    Args:
        q: (B, heads, count * L, d).
        k: (B, key heads, count * L, d).
        v: as k.
        prefix_k: (B, key heads, P, d).
        prefix_v: as prefix_k.
        count: of questions.
    """
    batch, heads, total, d = q.shape
    kinds, length, prefix = k.shape[1], total // count, prefix_k.shape[2]
    share = heads // kinds
    q = q.reshape(batch, kinds, share * total, d) * d**-0.5
    far = (q @ prefix_k.transpose(2, 3)).view(batch, kinds, share, count, length, prefix)
    own = (batch, kinds, 1, count, length, d)
    own_k = k.reshape(own).expand(-1, -1, share, -1, -1, -1)
    own_v = v.reshape(own).expand(-1, -1, share, -1, -1, -1)
    near = q.view(batch, kinds, share, count, length, d) @ own_k.transpose(-1, -2)
    later = torch.ones(length, length, dtype=torch.bool, device=q.device).triu(1)
    near = near.masked_fill(later, float("-inf"))
    p = torch.softmax(torch.cat((far, near), -1).float(), -1).to(q.dtype)
    out = p[..., :prefix].reshape(batch, kinds, share * total, prefix) @ prefix_v
    out = out.view(batch, kinds, share, count, length, d) + p[..., prefix:] @ own_v
    return out.reshape(batch, heads, total, d)


PIECES = (vision_before, vision_after, text_before, text_after, attention_of_questions)
"""What is compiled: all between the attentions, and that of questions."""
