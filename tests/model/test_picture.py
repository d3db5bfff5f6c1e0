"""Own picture input against Hugging Face's, for the picture sizes the models are given."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm3.errors import CheckpointError, InputError
from vlm3.model import PictureInput, mrope_positions, patchify, pixel_values

QWEN3 = PictureInput(16, 2, 2, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
QWEN25 = PictureInput(
    14, 2, 2, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
)
NANO = PictureInput(8, 2, 2, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize("spec", [QWEN3, QWEN25, NANO], ids=["qwen3-vl", "qwen2.5-vl", "nano"])
@settings(max_examples=12, deadline=None)
@given(rows=st.integers(2, 6), columns=st.integers(2, 9), seed=st.integers(0, 99))
def test_equals_the_stock_processor(spec: PictureInput, rows: int, columns: int, seed: int) -> None:
    from transformers import Qwen2VLImageProcessorPil

    shape = (rows * spec.token_px, columns * spec.token_px, 3)
    image = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    stock = Qwen2VLImageProcessorPil(
        patch_size=spec.patch_px,
        merge_size=spec.merge,
        temporal_patch_size=spec.temporal,
        image_mean=list(spec.mean),
        image_std=list(spec.std),
        do_resize=False,
    )(images=[image], return_tensors="pt")
    patches, grid = patchify(image, spec)
    ours = pixel_values(torch.from_numpy(patches), spec)
    assert list(grid) == stock["image_grid_thw"][0].tolist()
    assert (ours - torch.as_tensor(stock["pixel_values"])).abs().max() < 1e-6


@pytest.mark.parametrize("shape", [(15, 32, 3), (32, 33, 3), (0, 32, 3)])
def test_refuses_sides_off_the_grid(shape: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="multiples of 16 px"):
        patchify(np.zeros(shape, np.uint8), NANO)


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 7)), min_size=0, max_size=3),
    gaps=st.lists(st.integers(1, 6), min_size=4, max_size=4),
)
def test_positions_equal_get_rope_index(
    tiny_model: object, sizes: list[tuple[int, int]], gaps: list[int]
) -> None:
    picture = 7
    ids: list[int] = [1] * gaps[0]
    for (rows, columns), gap in zip(sizes, gaps[1:], strict=False):
        ids += [picture] * (rows * columns) + [1] * gap
    grids = [(1, rows * 2, columns * 2) for rows, columns in sizes]
    ours = mrope_positions(np.array(ids), grids, image_token_id=picture, merge=2)
    tokens = torch.tensor(ids)[None]
    stock, _ = tiny_model.model.get_rope_index(  # type: ignore[attr-defined]
        tokens,
        mm_token_type_ids=(tokens == picture).long(),
        image_grid_thw=torch.tensor(grids) if grids else None,
        attention_mask=torch.ones_like(tokens),
    )
    assert (stock[:, 0].numpy() == ours).all()


def test_a_folder_without_picture_input_is_named(tmp_path: object) -> None:
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json"):
        PictureInput.read(tmp_path)  # type: ignore[arg-type]
