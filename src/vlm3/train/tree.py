"""Attention over packed rows without their masks: each token to the tokens on its own path.

The parts of a `Forest` are computed by flash kernels and merged by their log-sum-exp, forward;
backward, each part is given the merged outcome and log-sum-exp, which makes its gradients exact. On
a CPU by torch's flash kernel for it, on a GPU by the kernel for sequences of any length. Knows no
tokens and no model.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_utils import AttentionInterface

from vlm3.train.forest import Forest, ForestPart

NAME = "tree"
"""Name under which the attention is registered; without a `Forest` it is the stock "sdpa"."""


def takes(device: torch.device, dtype: torch.dtype, width: int) -> bool:
    """Whether a kernel computes this: any type on a CPU, on a GPU what its flash kernel takes."""
    if device.type != "cuda":
        return device.type in ("cpu", "meta")
    half = dtype in (torch.float16, torch.bfloat16)
    return (
        half
        and width % 8 == 0
        and width <= 256
        and (torch.cuda.get_device_capability(device) >= (8, 0))
    )


class _Attention(torch.autograd.Function):
    """Of (T, heads, width) queries to (T, key heads, width) keys and values of a forest."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        tree: Forest,
        scale: float,
    ) -> torch.Tensor:
        out, lse, *state = _forward(query, key, value, tree.runs, scale)
        states = [state]
        if tree.above:
            exact = out.to(lse.dtype)
            for part in tree.above:
                more, more_lse, *state = _forward(
                    query[part.queries], key[part.keys], value[part.keys], part, scale
                )
                states.append(state)
                own_lse = lse[:, part.queries]
                weight = torch.sigmoid(more_lse - own_lse).t()[..., None]
                merged = torch.lerp(exact[part.queries], more.to(lse.dtype), weight)
                exact[part.queries] = merged
                lse[:, part.queries] = torch.logaddexp(own_lse, more_lse)
            out = exact.to(query.dtype)
        ctx.save_for_backward(query, key, value, out, lse)
        ctx.tree, ctx.scale, ctx.states = tree, scale, states
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        query, key, value, out, lse = ctx.saved_tensors
        grad = grad.to(out.dtype).contiguous()
        runs, states = ctx.tree.runs, iter(ctx.states)
        grads = _backward(grad, query, key, value, out, lse, runs, ctx.scale, next(states))
        for part, state in zip(ctx.tree.above, states, strict=True):
            at, seen = part.queries, part.keys
            more = _backward(
                grad[at],
                query[at],
                key[seen],
                value[seen],
                out[at],
                lse[:, at],
                part,
                ctx.scale,
                state,
            )
            for total, index, one in zip(grads, (at, seen, seen), more, strict=True):
                total.index_add_(0, index, one)
        return (*grads, None, None)


def _forward(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, part: ForestPart, scale: float
) -> tuple[torch.Tensor, ...]:
    """One part: (n, heads, width), its log-sum-exp (heads, n), and what a GPU's kernel hands on."""
    if query.device.type == "cpu":
        return _forward_cpu(query, key, value, part, scale)
    out, lse, state, unused, _ = torch.ops.aten._flash_attention_forward(
        query,
        key,
        value,
        part.query_ends,
        part.key_ends,
        part.longest_query,
        part.longest_key,
        0.0,
        part.causal,
        False,
        scale=scale,
    )
    return out, lse, state, unused


def _backward(
    grad: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    out: torch.Tensor,
    lse: torch.Tensor,
    part: ForestPart,
    scale: float,
    state: Sequence[torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What one part adds to the gradients; outcome and log-sum-exp are those of all parts."""
    if query.device.type == "cpu":
        return _backward_cpu(grad, query, key, value, out, lse, part, scale)
    found: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    found = torch.ops.aten._flash_attention_backward(
        grad,
        query,
        key,
        value,
        out,
        lse.contiguous(),
        part.query_ends,
        part.key_ends,
        part.longest_query,
        part.longest_key,
        0.0,
        part.causal,
        *state,
        scale=scale,
    )
    return found


def _folded(query: torch.Tensor, heads: int, *, causal: bool) -> torch.Tensor:
    """(n, S, query heads, width) as the kernel takes them: (n, heads, S, width).

    Without an order among them, the queries that share a key head stand in one matrix.
    """
    count, length, _, width = query.shape
    if causal:
        return query.transpose(1, 2)
    grouped = query.reshape(count, length, heads, -1, width).permute(0, 2, 3, 1, 4)
    return grouped.reshape(count, heads, -1, width)


def _unfolded(folded: torch.Tensor, length: int) -> torch.Tensor:
    """(n, heads or key heads, S or groups S, ...) -> (n, S, query heads, ...)."""
    count = folded.shape[0]
    return folded.reshape(count, -1, length, *folded.shape[3:]).transpose(1, 2)


def _seen(key: torch.Tensor, seen: torch.Tensor, groups: int) -> torch.Tensor:
    """Keys or values at places (n, L) as the kernel takes them, each head `groups` times."""
    found = key[seen].transpose(1, 2)
    return found if groups == 1 else found.repeat_interleave(groups, 1)


def _forward_cpu(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, part: ForestPart, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    heads, groups = key.shape[1], query.shape[1] // key.shape[1]
    exact = torch.float64 if query.dtype == torch.float64 else torch.float32
    out, lse = torch.empty_like(query), query.new_empty(query.shape[:2], dtype=exact)
    for at, seen in part.alike:
        k, v = (_seen(one, seen, groups if part.causal else 1) for one in (key, value))
        q = _folded(query[at], heads, causal=part.causal)
        flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        one, one_lse = flash(q, k, v, 0.0, part.causal, scale=scale)
        out[at] = _unfolded(one, at.shape[1])
        lse[at] = _unfolded(one_lse, at.shape[1])
    return out, lse.t()


def _backward_cpu(
    grad: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    out: torch.Tensor,
    lse: torch.Tensor,
    part: ForestPart,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    heads, groups = key.shape[1], query.shape[1] // key.shape[1]
    grads = tuple(torch.empty_like(one) for one in (query, key, value))
    rows = lse.t()
    for at, seen in part.alike:
        k, v = (_seen(one, seen, groups if part.causal else 1) for one in (key, value))
        q, o, g = (_folded(one[at], heads, causal=part.causal) for one in (query, out, grad))
        told = _folded(rows[at][..., None], heads, causal=part.causal)[..., 0]
        flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
        dq, dk, dv = flash(g, q, k, v, o, told.contiguous(), 0.0, part.causal, scale=scale)
        if part.causal and groups > 1:
            dk, dv = (one.unflatten(1, (heads, groups)).sum(2) for one in (dk, dv))
        grads[0][at] = _unfolded(dq, at.shape[1])
        grads[1][seen], grads[2][seen] = dk.transpose(1, 2), dv.transpose(1, 2)
    return grads[0], grads[1], grads[2]


def attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, tree: Forest, scale: float
) -> torch.Tensor:
    """Softmax attention of every token to those it sees, itself among them.

    Args:
        query: (T, heads, width).
        key: (T, key heads, width).
        value: as key.
        tree: of the row, on the same device.
        scale: of the products.

    Returns:
        (T, heads, width).
    """
    out: torch.Tensor = _Attention.apply(query, key, value, tree, scale)  # type: ignore[no-untyped-call]
    return out


def computed_in(value: torch.Tensor) -> torch.dtype:
    """The type that torch's own attention would compute in here: autocast's, where it is on."""
    kind = value.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else value.dtype


@torch.compiler.disable  # type: ignore[untyped-decorator]
def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    *,
    tree: Forest | None = None,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """The attention as transformers calls it.

    Args:
        module: not used but by the stock attention, where there is no forest.
        query: (1, heads, T, width).
        key: (1, key heads, T, width).
        value: as key.
        attention_mask: None: a mask would not be seen.
        scaling: of the products.
        tree: of the row.
        settings: of the stock attention.

    Returns:
        (1, T, heads, width), and None for weights that are never made.
    """
    if tree is None:
        out, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **settings
        )
        return out, None
    if attention_mask is not None or query.shape[0] != 1:
        raise ValueError("tree attention takes one packed row and no mask")
    kind = computed_in(value)
    q, k, v = (one[0].transpose(0, 1).to(kind) for one in (query, key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if not takes(query.device, kind, query.shape[-1]):
        out, _ = sdpa_attention_forward(
            module, query, key, value, tree.square, scaling=scale, **settings
        )
        return out, None
    return attention(q, k, v, tree, scale)[None], None


AttentionInterface.register(NAME, attend)
# The same masks as "sdpa", so that a model under this name computes the same without a forest.
AttentionMaskInterface.register(NAME, sdpa_mask)
