"""The stock Qwen3-VL's forward pass, written out for batches whose pictures have one shape.

The weights stay in the stock modules; only the computing is ours. The library loops over pictures
and builds masks of all tokens by all tokens. Here a row is a prefix, pictures and the words that
its first questions share, and then groups of questions of equal length, each of which sees a part
of the prefix and itself. The tests hold the results against the library's own forward.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from vlm3.model import mrope_positions
from vlm3.nano.layers import PIECES, layer_norm, linear, rms_norm

Tensor = torch.Tensor
_VISION_THETA = 10_000.0


@dataclass(frozen=True)
class Group:
    """Questions of one kind in a row: how many, tokens of each, tokens of the prefix seen."""

    count: int
    length: int
    sees: int


@dataclass(frozen=True)
class Layout:
    """How every row of a batch is laid out.

    Attributes:
        pictures: one or two.
        rows: tokens of a picture.
        columns: tokens of a picture.
        stem: words between the pictures and the first group.
        groups: of questions.
    """

    pictures: int
    rows: int
    columns: int
    stem: tuple[int, ...]
    groups: tuple[Group, ...] = ()

    @property
    def tokens(self) -> int:
        """Of one picture."""
        return self.rows * self.columns

    @property
    def seen(self) -> int:
        """Tokens of all pictures with the marks around them."""
        return self.pictures * (self.tokens + 2)

    @property
    def prefix(self) -> int:
        """Tokens of pictures and stem."""
        return self.seen + len(self.stem)


class Forward:
    """Forward passes of a stock model.

    Args:
        model: a `Qwen3VLForConditionalGeneration`; its weights are used where they lie.
        dtype: activations are computed in.
        compiled: by torch.compile, each piece once for all layers and shapes.
    """

    def __init__(self, model: Any, dtype: torch.dtype, *, compiled: bool = False) -> None:
        self.model, self.dtype = model, dtype
        self.visual, self.text = model.model.visual, model.model.language_model
        self.device = next(model.parameters()).device
        vision = model.config.vision_config
        self.heads, self.merge = vision.num_heads, vision.spatial_merge_size
        self.patch_px = vision.patch_size
        self.deepstack = list(vision.deepstack_visual_indexes)
        pieces: tuple[Any, ...] = PIECES
        if compiled:
            pieces = tuple(torch.compile(piece, dynamic=True) for piece in PIECES)
        self._vision_before, self._vision_after, self._text_before = pieces[:3]
        self._text_after, self._of_questions = pieces[3:]
        self._constants: dict[Any, tuple[Tensor, ...]] = {}
        self._vision_layers = [
            (
                (b.norm1.weight, b.norm1.bias, b.attn.qkv.weight, b.attn.qkv.bias),
                (
                    *(b.attn.proj.weight, b.attn.proj.bias, b.norm2.weight, b.norm2.bias),
                    *(b.mlp.linear_fc1.weight, b.mlp.linear_fc1.bias),
                    *(b.mlp.linear_fc2.weight, b.mlp.linear_fc2.bias),
                ),
            )
            for b in self.visual.blocks
        ]
        self._text_layers = [
            (
                (
                    *(b.input_layernorm.weight, b.self_attn.q_proj.weight),
                    *(b.self_attn.k_proj.weight, b.self_attn.v_proj.weight),
                    *(b.self_attn.q_norm.weight, b.self_attn.k_norm.weight),
                ),
                (
                    *(b.self_attn.o_proj.weight, b.post_attention_layernorm.weight),
                    *(b.mlp.gate_proj.weight, b.mlp.up_proj.weight, b.mlp.down_proj.weight),
                ),
            )
            for b in self.text.layers
        ]

    def see(self, images: Tensor) -> list[Tensor]:
        """The tower's outputs of pictures (n, H, W, 3) of 0 to 255.

        Returns:
            Each (n, tokens, text width): the last layer's, then those of the deepstack.
        """
        height, width = images.shape[1:3]
        # A picture is repeated in time: both halves of the kernel meet the same values.
        embed = self.visual.patch_embed.proj
        h = linear(self._patches(images), embed.weight.sum(2).flatten(1), embed.bias)
        grid = (height // self.patch_px, width // self.patch_px)
        index, share, cosine, sine = self._vision_constants(*grid)
        table = (self.visual.pos_embed.weight[index] * share[..., None]).sum(1)
        h = h + table.to(h.dtype)
        deep = []
        for number, (before, after) in enumerate(self._vision_layers):
            q, k, v = self._vision_before(h, cosine, sine, self.heads, before)
            h = self._vision_after(h, functional.scaled_dot_product_attention(q, k, v), after)
            if number in self.deepstack:
                merger = self.visual.deepstack_merger_list[self.deepstack.index(number)]
                deep.append(self._merged(h, merger, late=True))
        return [self._merged(h, self.visual.merger, late=False), *deep]

    def read(self, layout: Layout, seen: list[Tensor], ids: list[Tensor]) -> list[Tensor]:
        """Hidden states of each group's questions, (B, count, length, width).

        Args:
            layout: of every row.
            seen: from `see`; the pictures of a row stand together.
            ids: of each group, (B, count, length).
        """
        prefix, cosine, sine = self._text_constants(layout)
        table = self.text.embed_tokens.weight
        batch, tokens = len(seen[0]) // layout.pictures, layout.tokens
        words = table[prefix].to(self.dtype)[None].expand(batch, -1, -1)
        blank = words.new_zeros(batch, 1, words.shape[-1])
        parts: list[Tensor] = []
        deep_parts: list[list[Tensor]] = [[] for _ in seen[1:]]
        pictures = [one.view(batch, layout.pictures, tokens, -1) for one in seen]
        for k in range(layout.pictures):
            start = k * (tokens + 2)
            end = start + tokens + 1
            parts += [words[:, start : start + 1], pictures[0][:, k], words[:, end : end + 1]]
            for to, deep in zip(deep_parts, pictures[1:], strict=True):
                to += [blank, deep[:, k], blank]
        parts.append(words[:, layout.seen :])
        parts += [table[one.flatten(1)].to(self.dtype) for one in ids]
        h = torch.cat(parts, 1)
        rest = words.new_zeros(batch, h.shape[1] - layout.seen, h.shape[2])
        added = [torch.cat([*to, rest], 1) for to in deep_parts]
        for number, (before, after) in enumerate(self._text_layers):
            q, k_, v = self._text_before(h, cosine, sine, before)
            h = self._text_after(h, self._attend(layout, q, k_, v), after)
            if number < len(added):
                h = h + added[number]
        h = rms_norm(h, self.text.norm.weight)
        out, at = [], layout.prefix
        for group in layout.groups:
            size = group.count * group.length
            out.append(h[:, at : at + size].view(batch, group.count, group.length, -1))
            at += size
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of the next token, in float32."""
        return linear(hidden, self.text.embed_tokens.weight).float()

    def _patches(self, images: Tensor) -> Tensor:
        """(n, H, W, 3) -> (n, patches, 3 * patch**2) in the order of `vlm3.model.patchify`."""
        n, height, width, _ = images.shape
        m, p = self.merge, self.patch_px
        x = images.view(n, height // (m * p), m, p, width // (m * p), m, p, 3)
        x = x.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(n, -1, 3 * p * p)
        return (x / 127.5 - 1).to(self.dtype)

    def _merged(self, h: Tensor, merger: Any, *, late: bool) -> Tensor:
        n, count, width = h.shape
        wide = (n, count // self.merge**2, width * self.merge**2)
        x = h.view(wide) if late else h
        x = layer_norm(x, merger.norm.weight, merger.norm.bias).view(wide)
        x = functional.gelu(linear(x, merger.linear_fc1.weight, merger.linear_fc1.bias))
        return linear(x, merger.linear_fc2.weight, merger.linear_fc2.bias)

    def _attend(self, layout: Layout, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        end = layout.prefix
        first = (q[:, :, :end], k[:, :, :end], v[:, :, :end])
        shared = q.shape[1] != k.shape[1]
        out = [functional.scaled_dot_product_attention(*first, is_causal=True, enable_gqa=shared)]
        for group in layout.groups:
            start, end = end, end + group.count * group.length
            own = (q[:, :, start:end], k[:, :, start:end], v[:, :, start:end])
            prefix = (k[:, :, : group.sees], v[:, :, : group.sees])
            out.append(self._of_questions(*own, *prefix, group.count))
        return torch.cat(out, 2)

    @torch.no_grad()
    def _vision_constants(self, rows: int, columns: int) -> tuple[Tensor, ...]:
        """Of a grid of patches: entries of the position table, their shares, cosines and sines."""
        key = (rows, columns)
        if key not in self._constants:
            side = int(self.visual.pos_embed.weight.shape[0] ** 0.5)
            y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
            m = self.merge
            y, x = (
                axis.reshape(rows // m, m, columns // m, m).transpose(1, 2).flatten()
                for axis in (y, x)
            )
            taps = []
            for place, size in ((y, rows), (x, columns)):
                at = place.float() * (side - 1) / max(size - 1, 1)
                low = at.floor().long().clamp(max=side - 1)
                taps.append((low, (low + 1).clamp(max=side - 1), at - low))
            (y0, y1, fy), (x0, x1, fx) = taps
            index = torch.stack([y0 * side + x0, y0 * side + x1, y1 * side + x0, y1 * side + x1], 1)
            share = torch.stack([(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx], 1)
            half = self.visual.blocks[0].attn.qkv.weight.shape[1] // self.heads // 2
            speed = 1 / _VISION_THETA ** (torch.arange(0, half, 2).float() / half)
            angle = torch.cat([y[:, None] * speed, x[:, None] * speed] * 2, 1)
            made = (index, share, angle.cos(), angle.sin())
            self._constants[key] = tuple(one.to(self.device) for one in made)
        return self._constants[key]

    @torch.no_grad()
    def _text_constants(self, layout: Layout) -> tuple[Tensor, ...]:
        """Ids of the prefix, and cosines and sines (T, d) of the whole row."""
        if layout not in self._constants:
            config = self.model.config
            picture = [config.vision_start_token_id, *[config.image_token_id] * layout.tokens]
            picture.append(config.vision_end_token_id)
            ids = np.array([*picture * layout.pictures, *layout.stem])
            grid = (1, layout.rows * self.merge, layout.columns * self.merge)
            positions = mrope_positions(
                ids,
                [grid] * layout.pictures,
                image_token_id=config.image_token_id,
                merge=self.merge,
            )
            parts = [positions]
            for group in layout.groups:
                start = positions[:, group.sees - 1 : group.sees] + 1
                parts.append(np.tile(start + np.arange(group.length), group.count))
            where = torch.from_numpy(np.concatenate(parts, 1))[:, None].to(self.device)
            like = torch.zeros(1, 1, 1, device=self.device)
            cosine, sine = self.text.rotary_emb(like, where)
            made = (torch.from_numpy(ids).to(self.device), cosine[0].clone(), sine[0].clone())
            self._constants[layout] = made
        return self._constants[layout]
