"""Softmax attention that also returns its log-sum-exp, by the kernel that works on this device.

Two parts of a sequence are attended to apart and put together by `merged`. On a CPU there is one
flash kernel; on a GPU torch's, whose forms for grouped heads and for lengths that lie on the device
are tried once against plain operations and used where they agree. Knows neither rows nor tokens.
"""

import logging
from dataclasses import dataclass
from functools import cache

import torch

# Scores that plain attention holds at once on a GPU; more queries are taken in turns.
_MOST_SCORES = 2**28
# Largest difference of a half precision kernel from plain operations in float32, values of about 1.
_TOLERANCE = 0.02

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reach:
    """Which keys the rows of a batch see, on the device: it may change where shapes may not.

    Without any of these all keys count. The kernel takes lengths or, in plain operations, a mask.

    Attributes:
        mask: (B, 1, queries or 1, width) added to the scores.
        queries: (B heads + 1,) int32, where the queries of each row and head begin.
        keys: (B heads + 1,) int32, where their keys begin.
        used: (B heads,) int32, how many of those count.
    """

    mask: torch.Tensor | None = None
    queries: torch.Tensor | None = None
    keys: torch.Tensor | None = None
    used: torch.Tensor | None = None


def reach(used: torch.Tensor, like: torch.Tensor, *, width: int, count: int = 1) -> Reach:
    """The first `used` of `width` keys, for all queries of a row.

    Args:
        used: (B,) at least one.
        like: (B, heads, queries, width of a head) of the queries' type, device and heads.
        width: keys a row has room for.
        count: queries of each row and head.
    """
    if takes_lengths(like):
        return _by_lengths(used, like.shape[1], width=width, count=count)
    return _by_mask(used, like, width=width)


def _by_lengths(used: torch.Tensor, heads: int, *, width: int, count: int) -> Reach:
    ends = torch.arange(len(used) * heads + 1, dtype=torch.int32, device=used.device)
    each = used.to(torch.int32)[:, None].expand(-1, heads).reshape(-1)
    return Reach(None, ends * count, ends * width, each)


def _by_mask(used: torch.Tensor, like: torch.Tensor, *, width: int) -> Reach:
    beyond = torch.arange(width, device=used.device) >= used[:, None, None, None]
    return Reach(like.new_zeros(beyond.shape).masked_fill(beyond, float("-inf")))


def attention_within(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, reach: Reach
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention to the keys that each row reaches.

    Args:
        query: (B, H, S, width).
        key: (B, H, T, width), contiguous.
        value: (B, H, T, width), contiguous.
        scale: factor of the scores.
        reach: of these rows, this T and this S.

    Returns:
        As `attention`.
    """
    if reach.used is None:
        return attention(query, key, value, scale, mask=reach.mask)
    count, total = query.shape[2], key.shape[2]
    flat = [one.reshape(-1, 1, one.shape[-1]) for one in (query, key, value)]
    forward = torch.ops.aten._flash_attention_forward
    ends = (reach.queries, reach.keys, count, total)
    out, lse, *_ = forward(*flat, *ends, 0.0, False, False, scale=scale, seqused_k=reach.used)
    return out.view(query.shape), lse.view(query.shape[:3])


def attention_of_last(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    mask: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Causal attention of the last tokens of rows; groups of query heads share a key head.

    Args:
        query: (B, query heads, S, width).
        key: (B, heads, T, width), T at least S.
        value: (B, heads, T, width).
        scale: factor of the scores.
        mask: `mask_of_last`, made before where it is needed more than once.

    Returns:
        As `attention`.
    """
    count, total = query.shape[2], key.shape[2]
    if takes_groups(query):
        return _flash_of_last(query, key, value, scale)
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    if count == total:
        return attention(query, key, value, scale, causal=True)
    mask = mask_of_last(query, total) if mask is None else mask
    return attention(query, key, value, scale, mask=mask)


def _flash_of_last(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    count, total = query.shape[2], key.shape[2]
    q, k, v = (one.transpose(1, 2) for one in (query, key, value))
    forward = torch.ops.aten._flash_attention_forward
    out, lse, *_ = forward(q, k, v, None, None, count, total, 0.0, True, False, scale=scale)
    return out.transpose(1, 2), lse[..., :count]


def mask_of_last(query: torch.Tensor, total: int) -> torch.Tensor:
    """(1, 1, S, total): causal, the queries (B, H, S, width) last of `total` tokens."""
    count = query.shape[2]
    mask = query.new_full((count, total), float("-inf"))
    return mask.triu(1 + total - count)[None, None]


def merged(
    out: torch.Tensor, lse: torch.Tensor, other: torch.Tensor, other_lse: torch.Tensor
) -> torch.Tensor:
    """Attention to two parts as one, in float32: (..., width) each, and (...) log-sum-exp."""
    weight = torch.sigmoid(other_lse - lse)[..., None]
    return torch.lerp(out.float(), other.float(), weight)


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    *,
    causal: bool = False,
    mask: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Softmax attention that also returns its log-sum-exp.

    On a CPU by the flash kernel; on a GPU by flash attention where its type and shape allow (half
    precision, no mask), else in plain operations.

    Args:
        query: (B, H, S, width).
        key: (B, H, T, width).
        value: (B, H, T, width).
        scale: factor of the scores.
        causal: S = T, and a token sees none after it.
        mask: added to the scores, broadcast to (B, H, S, T).

    Returns:
        (B, H, S, width) in the type of `query`; (B, H, S) float32.
    """
    if query.device.type == "cpu":
        flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        out, lse = flash(query, key, value, 0.0, causal, attn_mask=mask, scale=scale)
        return out, lse
    if mask is None and flash_takes(query):
        flash = torch.ops.aten._scaled_dot_product_flash_attention
        out, lse, *_ = flash(query, key, value, 0.0, causal, False, scale=scale)
        return out, lse[..., : query.shape[2]]
    return plain_attention(query, key, value, scale, causal=causal, mask=mask)


def plain_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    *,
    causal: bool = False,
    mask: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`attention` in plain operations, queries in turns so that the scores stay bounded."""
    count, total = query.shape[2], key.shape[2]
    turn = max(1, _MOST_SCORES // (query.shape[0] * query.shape[1] * total))
    if causal:
        hidden = torch.ones(count, total, dtype=torch.bool, device=query.device).triu(1)
    outs, lses = [], []
    for start in range(0, count, turn):
        scores = (query[:, :, start : start + turn] @ key.transpose(-1, -2)).float() * scale
        if causal:
            scores = scores.masked_fill(hidden[start : start + turn], float("-inf"))
        if mask is not None:
            # One line of a mask may stand for all queries.
            scores = scores + (mask[..., start : start + turn, :] if mask.shape[-2] > 1 else mask)
        lse = scores.logsumexp(-1)
        outs.append((scores - lse[..., None]).exp().to(value.dtype) @ value)
        lses.append(lse)
    return torch.cat(outs, dim=2), torch.cat(lses, dim=2)


def flash_takes(query: torch.Tensor) -> bool:
    """Whether a GPU's flash kernel computes this: half precision, Ampere or newer, its widths."""
    width = query.shape[-1]
    return (
        query.dtype in (torch.float16, torch.bfloat16)
        and width % 8 == 0
        and width <= 256
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
    )


def takes_lengths(query: torch.Tensor) -> bool:
    """Whether the kernel takes lengths from the device; else a mask stands for them."""
    return _on_gpu(query) and _works("lengths", query.device, query.dtype, query.shape[-1])


def takes_groups(query: torch.Tensor) -> bool:
    """Whether the kernel takes grouped heads and queries that are a row's last."""
    return _on_gpu(query) and _works("groups", query.device, query.dtype, query.shape[-1])


def _on_gpu(query: torch.Tensor) -> bool:
    return query.device.type == "cuda" and flash_takes(query)


@cache
def _works(form: str, device: torch.device, dtype: torch.dtype, width: int) -> bool:
    """Tries a form of the kernel on this device, once; the log says what came of it."""
    try:
        worst = difference_from_plain(form, device, dtype, width)
    except (RuntimeError, TypeError) as error:
        # Kernels refuse cards, types and releases with whatever error they have.
        reason = (str(error).strip().splitlines() or ["no reason given"])[0][:200]
        _log.info("attention with %s on %s: plain operations (%s)", form, device, reason)
        return False
    works = worst < _TOLERANCE
    chosen = "torch's flash kernel" if works else "plain operations"
    _log.info(
        "attention with %s on %s: %s (the kernel differs by %.2g)", form, device, chosen, worst
    )
    return works


def difference_from_plain(form: str, device: torch.device, dtype: torch.dtype, width: int) -> float:
    """Largest difference of a form of the kernel, "lengths" or "groups", from plain operations."""
    made = torch.Generator().manual_seed(0)
    rows, heads, groups, count, total = 3, 2, 4, 5, 40
    sizes = [(rows, groups * heads, count), (rows, heads, total), (rows, heads, total)]
    q, k, v = (torch.randn(*size, width, generator=made).to(device, dtype) for size in sizes)
    scale = width**-0.5
    if form == "groups":
        key, value = (one.float().repeat_interleave(groups, 1) for one in (k, v))
        mask = mask_of_last(q.float(), total)
        expected = plain_attention(q.float(), key, value, scale, mask=mask)
        found = _flash_of_last(q, k, v, scale)
    else:
        q = q.reshape(rows, heads, groups * count, width)
        used = torch.tensor([1, 17, total]).to(device)
        by_mask = _by_mask(used, q.float(), width=total)
        expected = plain_attention(q.float(), k.float(), v.float(), scale, mask=by_mask.mask)
        by_lengths = _by_lengths(used, heads, width=total, count=groups * count)
        found = attention_within(q, k, v, scale, by_lengths)
    pairs = zip(found, expected, strict=True)
    return max(float((a.float() - b).abs().max()) for a, b in pairs)
