"""A loaded checkpoint: the model that transformers ships, and how it reads text and pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vlm3.errors import InputError
from vlm3.model.picture import PictureInput, mrope_positions, patchify
from vlm3.model.settings import Settings
from vlm3.model.template import render


@dataclass(frozen=True)
class Checkpoint:
    """A model ready to answer, and what it needs to read text and pictures.

    Attributes:
        model: a transformers image-text-to-text model in eval mode.
        tokenizer: its tokenizer.
        picture_input: how it wants its pictures.
        settings: from `vlm3.json`.
        name: as the user named it.
        path: the folder it came from.
    """

    model: Any
    tokenizer: Any
    picture_input: PictureInput
    settings: Settings
    name: str
    path: Path

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        device: torch.device = next(self.model.parameters()).device
        return device

    @property
    def token_px(self) -> int:
        """Picture sides must be multiples of this many pixels."""
        return self.picture_input.token_px

    @cached_property
    def image_token_id(self) -> int:
        """The id that stands for one picture token."""
        return int(self.model.config.image_token_id)

    def prompt_text(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """The text of a conversation up to where the model is to answer, by its own template.

        Raises:
            CheckpointError: the template fails, or does not come to an end.
        """
        return render(self.tokenizer, messages, self.path)

    def encode(
        self,
        messages: Sequence[Mapping[str, Any]],
        images: Sequence[npt.NDArray[np.uint8]],
    ) -> dict[str, torch.Tensor]:
        """Everything the model's `forward` or `generate` takes, for one conversation.

        Positions are always explicit: the model keeps those of the last picture it saw, and
        would use them for any other without a word.

        Args:
            messages: the field's chat format; parts of type "image" stand for the pictures.
            images: (H, W, 3) each, at their final size.

        Returns:
            input_ids, attention_mask, position_ids, and with pictures pixel_values,
            image_grid_thw and mm_token_type_ids; on the model's device.

        Raises:
            InputError: pictures and the text's places for them differ in number, or a
                picture does not fit the patch grid.
        """
        spec = self.picture_input
        pieces = [patchify(image, spec) for image in images]
        grids = [grid for _, grid in pieces]
        text = self.prompt_text(messages)
        mark = self.tokenizer.convert_ids_to_tokens(self.image_token_id)
        parts = text.split(mark)
        if len(parts) != len(images) + 1:
            raise InputError(
                f"the conversation has {len(parts) - 1} places for pictures, {len(images)} came; "
                f"questions must not contain {mark}"
            )
        expanded = parts[0]
        for (_, rows, columns), part in zip(grids, parts[1:], strict=True):
            expanded += mark * (rows * columns // spec.merge**2) + part
        ids = np.asarray(self.tokenizer(expanded, add_special_tokens=False)["input_ids"], np.int64)
        positions = mrope_positions(
            ids, grids, image_token_id=self.image_token_id, merge=spec.merge
        )
        device = self.device
        out = {
            "input_ids": torch.from_numpy(ids)[None].to(device),
            "attention_mask": torch.ones((1, len(ids)), dtype=torch.long, device=device),
            "position_ids": torch.from_numpy(positions)[:, None].to(device),
        }
        if images:
            patches = torch.from_numpy(np.concatenate([patch for patch, _ in pieces]))
            out["pixel_values"] = pixel_values(patches.to(device), spec).to(self.model.dtype)
            out["image_grid_thw"] = torch.tensor(grids, device=device)
            out["mm_token_type_ids"] = (out["input_ids"] == self.image_token_id).long()
        return out


def pixel_values(patches: torch.Tensor, spec: PictureInput) -> torch.Tensor:
    """8-bit patches (N, 3 * patch**2) as the model takes them: (N, 3 * temporal * patch**2) floats.

    Scaled and repeated here, on the model's device, so that a quarter of the bytes travel there.
    """
    area = spec.patch_px**2
    values = patches.view(-1, 3, 1, area).to(torch.float32) / 255
    mean, std = _channels(spec.mean, spec.std, patches.device)
    values = (values - mean) / std
    return values.expand(-1, 3, spec.temporal, area).reshape(len(patches), -1)


@lru_cache(maxsize=8)
def _channels(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both as (3, 1, 1) on a device, kept: to bring them there waits for the device."""
    with torch.inference_mode(False):
        on_device = torch.tensor([mean, std]).to(device)
    return on_device[0].view(3, 1, 1), on_device[1].view(3, 1, 1)
