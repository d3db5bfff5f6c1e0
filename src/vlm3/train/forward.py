"""The stock model's forward pass over one packed row that a `Forest` describes.

The layers are the library's own, called one after the other; what lies between them is written here
so that nothing on the way has to be read back from the device: the places of pictures and answers,
the pictures' sizes and the bounds of attention are known on the host. Knows no data.
"""

from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import torch

from vlm3.model import PictureInput, pixel_values
from vlm3.train import tree
from vlm3.train.collate import TensorBatch
from vlm3.train.forest import apart


def read_answers(model: Any, batch: TensorBatch, spec: PictureInput) -> torch.Tensor:
    """Hidden states (m, width) after the final norm, of the tokens the loss falls on.

    Args:
        model: the stock model without its output layer, its text attention `vlm3.train.tree`.
        batch: from `collate`, on the model's device.
        spec: how the model wants its pictures.
    """
    text, seen = model.language_model, batch["seen"]
    pictures, deeper = _pictures(model, batch, spec)
    hidden = text.embed_tokens(batch["input_ids"])
    hidden = hidden.index_copy(1, seen, pictures[None].to(hidden.dtype))
    turns = text.rotary_emb(hidden, batch["position_ids"])
    for number, layer in enumerate(text.layers):
        hidden = layer(hidden, attention_mask=None, position_embeddings=turns, tree=batch["tree"])
        if number < len(deeper):
            hidden = hidden.index_add(1, seen, deeper[number][None].to(hidden.dtype))
    out: torch.Tensor = text.norm(hidden[0, batch["answers"]])
    return out


def _pictures(
    model: Any, batch: TensorBatch, spec: PictureInput
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The pictures' tokens (n, width), and what the first layers of the text are given of them."""
    pixels, grid = pixel_values(batch["patches"], spec), batch["image_grid_thw"].cpu()
    visual = model.visual
    if _sizes_stay_on_the_host(visual):
        pixels = pixels.to(visual.dtype)
        found = visual(
            pixels,
            grid_thw=grid,
            return_dict=True,
            **_places(
                tuple(map(tuple, grid.tolist())),
                visual.num_grid_per_side,
                visual.config.spatial_merge_size,
                pixels.device,
                together=attends_together(visual, pixels),
            ),
        )
        return found.pooler_output, found.deepstack_features
    found = model.get_image_features(pixels, grid.to(pixels.device), return_dict=True)
    deeper = getattr(found, "deepstack_features", None) or []
    return torch.cat(found.pooler_output), [torch.cat(one) for one in deeper]


def attends_together(visual: Any, pixels: torch.Tensor) -> bool:
    """Whether a kernel takes the attention of all pictures at once, each apart from the others.

    Args:
        visual: the vision tower.
        pixels: of the type and on the device that it computes in.
    """
    config = visual.config
    width = config.hidden_size // config.num_heads
    chosen = _sizes_stay_on_the_host(visual) and config._attn_implementation == tree.NAME
    return chosen and tree.takes(pixels.device, tree.computed_in(pixels), width)


def _sizes_stay_on_the_host(visual: Any) -> bool:
    """Whether this tower takes what it would read from the pictures' sizes: not in every family,
    nor in every release of transformers.
    """  # noqa: D205
    known = find_spec("transformers.vision_utils") is not None
    return known and hasattr(visual, "deepstack_merger_list")


@lru_cache(maxsize=8)
def _places(
    grids: tuple[tuple[int, int, int], ...],
    side: int,
    merge: int,
    device: torch.device,
    *,
    together: bool,
) -> dict[str, Any]:
    """What the vision tower derives from the pictures' sizes: kept, recomputation asks again.

    Args:
        grids: patches of each picture: times, rows, columns.
        side: of the table of positions.
        merge: patches a side of a token.
        device: of the tower.
        together: one attention for all pictures, which the tower then takes for a single one.
    """
    from transformers import vision_utils

    with torch.inference_mode(False):
        sizes = torch.tensor(grids)
        indices, weights = vision_utils.get_vision_interpolation_indices_and_weights(
            sizes,
            num_grid_per_side=side,
            mode="bilinear",
            align_corners=True,
            spatial_merge_size=merge,
        )
        positions = vision_utils.get_vision_position_ids(sizes, merge)
        on_device = {
            "interp_indices": indices,
            "interp_weights": weights,
            "position_ids": positions,
        }
        # Where each picture ends stays on the host: the tower is split there.
        ends = vision_utils.get_vision_cu_seqlens(sizes)
        found = {name: value.to(device, non_blocking=True) for name, value in on_device.items()}
        if not together:
            return found | {"cu_seqlens": ends}
        whole = apart(ends.diff().tolist()).to(device, non_blocking=True)
        return found | {"cu_seqlens": ends[[0, -1]], "tree": whole}
