"""Attention over packed rows without their masks: each token to the tokens on its own path.

A row of conversations is a forest laid out depth first. It is cut into runs without a branch; each
token attends to its own run up to itself, and to every run above it whole. The parts are computed
by flash kernels and merged by their log-sum-exp, forward; backward, each part is given the merged
outcome and log-sum-exp, which makes its gradients exact. What would be a square of truths, nearly
all of them false, is a few bounds. On a CPU by torch's flash kernel for it, on a GPU by the kernel
for sequences of any length. Knows no tokens and no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_utils import AttentionInterface

NAME = "tree"
"""Name under which the attention is registered; without a `Forest` it is the stock "sdpa"."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Part:
    """Sequences of queries, each with its sequence of keys.

    Attributes:
        queries: (n,) which tokens of the row; None for all of them.
        keys: (m,) which tokens of the row; None for all of them.
        query_ends: (sequences + 1,) int32, where each starts among the queries, and the end.
        key_ends: (sequences + 1,) int32, the same among the keys.
        longest_query: tokens of the longest sequence.
        longest_key: the same of keys.
        causal: queries and keys are the same tokens, and none sees those after it.
    """

    queries: torch.Tensor | None
    keys: torch.Tensor | None
    query_ends: torch.Tensor
    key_ends: torch.Tensor
    longest_query: int
    longest_key: int
    causal: bool

    def tensors(self) -> dict[str, torch.Tensor]:
        """Those of its fields."""
        every = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in every.items() if isinstance(value, torch.Tensor)}


@dataclass(frozen=True, eq=False)
class Forest:
    """Who sees whom in one packed row, for the kernels. Its counts stay on the host.

    Attributes:
        lengths: tokens of each conversation.
        until: (T,) int32, the place behind the last token that sees this one.
        runs: every run without a branch with itself.
        above: by how many runs stand above them: what hangs below runs, with those runs.
    """

    lengths: tuple[int, ...]
    until: torch.Tensor
    runs: Part
    above: tuple[Part, ...]

    def _each(self, change: Any) -> "Forest":
        def changed(part: Part) -> Part:
            return replace(part, **{name: change(t) for name, t in part.tensors().items()})

        return Forest(
            self.lengths,
            change(self.until),
            changed(self.runs),
            tuple(changed(part) for part in self.above),
        )

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "Forest":
        """The same on a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Forest":
        """The same in memory that copies to a GPU need not wait for."""
        return self._each(lambda tensor: tensor.pin_memory())

    @property
    def bytes(self) -> int:
        """What travels to the device."""
        parts = [t for part in (self.runs, *self.above) for t in part.tensors().values()]
        return sum(t.numel() * t.element_size() for t in (self.until, *parts))

    @property
    def scores(self) -> int:
        """Pairs of a query and a key that are computed, a head; half a square where causal."""
        total = 0
        for part in (self.runs, *self.above):
            queries, keys = part.query_ends.diff().long(), part.key_ends.diff().long()
            pairs = queries * (queries + 1) // 2 if part.causal else queries * keys
            total += int(pairs.sum())
        return total


def forest(until: Sequence[Ints]) -> Forest:
    """Of conversations that stand one behind the other in a row.

    Args:
        until: of each, as `PackedQuestions.until`; one that is a single run has its length throughout.
    """
    starts = np.cumsum([0, *map(len, until)])
    whole = np.concatenate([one + start for one, start in zip(until, starts, strict=False)])
    # A token goes on with the run before it where whatever follows from that one goes through it.
    first = np.flatnonzero(np.r_[True, whole[1:] != whole[:-1]])
    ends = np.r_[first[1:], len(whole)]
    below = whole[first]
    open_until: list[int] = []
    levels: list[list[int]] = []
    for run, start in enumerate(first):
        while open_until and open_until[-1] <= start:
            open_until.pop()
        if below[run] > ends[run]:
            if len(open_until) == len(levels):
                levels.append([])
            levels[len(open_until)].append(run)
        open_until.append(int(below[run]))
    bounds = torch.from_numpy(np.r_[first, len(whole)].astype(np.int32))
    longest = int((ends - first).max())
    return Forest(
        tuple(map(len, until)),
        torch.from_numpy(whole.astype(np.int32)),
        Part(None, None, bounds, bounds, longest, longest, causal=True),
        tuple(_hanging(first[runs], ends[runs], below[runs]) for runs in map(np.array, levels)),
    )


def _hanging(first: Ints, ends: Ints, below: Ints) -> Part:
    """What hangs below runs, from their ends on, with the runs themselves."""

    def places(begin: Ints, end: Ints) -> tuple[torch.Tensor, torch.Tensor, int]:
        every = np.concatenate([np.arange(a, b) for a, b in zip(begin, end, strict=True)])
        bounds = np.cumsum([0, *(end - begin)]).astype(np.int32)
        return torch.from_numpy(every), torch.from_numpy(bounds), int((end - begin).max())

    queries, query_ends, longest_query = places(ends, below)
    keys, key_ends, longest_key = places(first, ends)
    return Part(queries, keys, query_ends, key_ends, longest_query, longest_key, causal=False)


def dense(until: torch.Tensor, lengths: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """The same as rows of their own with a mask, for attention that needs one.

    Returns:
        (B, L) which tokens of the packed row stand in each row, its last one again as padding, and
        (B, L, L) bool, row sees column; padding sees itself and nobody sees it. On the device of
        `until`.
    """
    count = torch.tensor(lengths)
    start = count.cumsum(0) - count
    place = torch.arange(int(count.max()))
    index = start[:, None] + torch.minimum(place, count[:, None] - 1)
    index, start, count, place = (t.to(until.device) for t in (index, start, count, place))
    last = (until[index] - start[:, None]).masked_fill(place >= count[:, None], 0)
    sees = (place <= place[:, None]) & (place[:, None] < last[:, None])
    return index, sees | torch.eye(len(place), dtype=torch.bool, device=until.device)


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
    def forward(  # type: ignore[override]
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
    def backward(ctx: Any, grad: torch.Tensor) -> Any:  # type: ignore[override]
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
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, part: Part, scale: float
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
    part: Part,
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


def _alike(part: Part) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Places of queries (n, S) and keys (n, L) of the sequences that have one size."""
    starts_q, starts_k = part.query_ends[:-1].long(), part.key_ends[:-1].long()
    sizes = torch.stack([part.query_ends.diff(), part.key_ends.diff()], 1).tolist()
    members: dict[tuple[int, int], list[int]] = {}
    for number, (queries, keys) in enumerate(sizes):
        members.setdefault((queries, keys), []).append(number)
    return [
        (
            starts_q[chosen, None] + torch.arange(queries),
            starts_k[chosen, None] + torch.arange(keys),
        )
        for (queries, keys), chosen in members.items()
    ]


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


def _forward_cpu(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, part: Part, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    heads, groups = key.shape[1], query.shape[1] // key.shape[1]
    exact = torch.float64 if query.dtype == torch.float64 else torch.float32
    out, lse = torch.empty_like(query), query.new_empty(query.shape[:2], dtype=exact)
    for at, seen in _alike(part):
        k, v = (one[seen].transpose(1, 2) for one in (key, value))
        if part.causal and groups > 1:
            k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
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
    part: Part,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    heads, groups = key.shape[1], query.shape[1] // key.shape[1]
    grads = tuple(torch.empty_like(one) for one in (query, key, value))
    rows = lse.t()
    for at, seen in _alike(part):
        k, v = (one[seen].transpose(1, 2) for one in (key, value))
        if part.causal and groups > 1:
            k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
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


@torch.compiler.disable
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
    """The attention as transformers calls it: (1, heads, T, width) of each -> (1, T, heads, width)."""
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
    return attention(q, k, v, tree, scale)[None], None


AttentionInterface.register(NAME, attend)
# The same masks as "sdpa", so that a model under this name computes the same without a forest.
AttentionMaskInterface.register(NAME, sdpa_mask)
