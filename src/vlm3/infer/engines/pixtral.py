"""Pixtral in this process: DepthLM's 12B checkpoint is one.

One `generate` a question. Pictures go through the library's own image processor; its whole
`PixtralProcessor` cannot be made without torchvision, so the places of pictures are written here as
it writes them. The chat template is the folder's; the one DepthLM was evaluated with reads a text
part's words under "content", newer ones under "text", so both are there. Knows no task.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from vlm3.errors import CheckpointError
from vlm3.infer.engines.base import Scene, UInt8
from vlm3.model.digest import model_digest
from vlm3.model.side_files import read_object
from vlm3.model.template import find_template, render
from vlm3.tasks.conversation import question_messages
from vlm3.tasks.reading import CUT_OFF

_IMAGE, _ROW_END, _IMAGE_END = "[IMG]", "[IMG_BREAK]", "[IMG_END]"


def is_pixtral(folder: Path) -> bool:
    """Whether a folder's config is that of a Pixtral model as transformers has it.

    Raises:
        CheckpointError: its config cannot be read.
    """
    path = folder / "config.json"
    if not path.is_file():
        return False
    config = read_object(path)
    vision = config.get("vision_config")
    return (
        config.get("model_type") == "llava"
        and isinstance(vision, dict)
        and vision.get("model_type") == "pixtral"
    )


@dataclass(frozen=True, eq=False)
class PixtralEngine:
    """Greedy answers from a Pixtral model.

    Attributes:
        model: a `LlavaForConditionalGeneration` with Pixtral's vision tower.
        tokenizer: its tokenizer, with a chat template.
        image_processor: what makes its pixel values.
        patch_px: pixels of a token's side.
        name: as the user named it.
        folder: where it came from.
    """

    model: Any
    tokenizer: Any
    image_processor: Any
    patch_px: int
    name: str
    folder: Path

    @cached_property
    def weights(self) -> str:
        """The digest of the folder's content."""
        return model_digest(self.folder)

    def open(self, images: Sequence[UInt8]) -> Scene:
        """Keeps the pictures; they are encoded again with every question."""
        return Scene(tuple(images))

    def ask(self, scene: Scene, questions: Sequence[str], *, max_new_tokens: int) -> list[str]:
        """Answers one question after the other, always with the likeliest token."""
        return [self._generate(scene, question, max_new_tokens) for question in questions]

    def inputs(self, images: Sequence[UInt8], question: str) -> dict[str, Any]:
        """Everything the model's `generate` takes for one question.

        Raises:
            CheckpointError: the chat template fails, or has no place for each picture.
        """
        asked = question_messages(len(images), question)
        for part in asked[0]["content"]:
            if part["type"] == "text":
                part["content"] = question
        text = render(self.tokenizer, asked, self.folder)
        parts = text.split(_IMAGE)
        if len(parts) != len(images) + 1:
            raise CheckpointError(
                f"the chat template of {self.folder} writes {len(parts) - 1} places for "
                f"{len(images)} pictures"
            )
        seen = self.image_processor([Image.fromarray(image) for image in images])
        sides = [(int(height), int(width)) for height, width in seen["image_sizes"]]
        text = parts[0]
        for size, part in zip(sides, parts[1:], strict=True):
            text += self._places(*size) + part
        # The template writes the token that begins a text.
        words = self.tokenizer(text, add_special_tokens=False, return_tensors="pt")
        device = self.model.device
        values = torch.from_numpy(np.asarray(seen["pixel_values"], dtype=np.float32))
        return {
            "input_ids": words["input_ids"].to(device),
            "attention_mask": words["attention_mask"].to(device),
            "pixel_values": values.to(device, self.model.dtype),
            "image_sizes": torch.tensor(sides, device=device),
        }

    def _places(self, height: int, width: int) -> str:
        """Marks of a picture's tokens: rows end in one mark, the picture in another."""
        side = self.patch_px
        row = _IMAGE * (width // side)
        return _ROW_END.join([row] * (height // side)) + _IMAGE_END

    def _generate(self, scene: Scene, question: str, max_new_tokens: int) -> str:
        inputs = self.inputs(scene.images, question)
        with torch.inference_mode():
            ids = self.model.generate(
                **inputs, do_sample=False, num_beams=1, max_new_tokens=max_new_tokens
            )
        answer = ids[0, inputs["input_ids"].shape[1] :]
        ends = self.model.generation_config.eos_token_id
        known = [ends] if isinstance(ends, int) else ends or []
        cut = len(answer) >= max_new_tokens and int(answer[-1]) not in known
        text = self.tokenizer.decode(answer, skip_special_tokens=True).strip()
        return f"{text}{CUT_OFF if cut else ''}"


def load_pixtral(folder: Path, *, name: str, device: str | None = None) -> PixtralEngine:
    """Model, tokenizer and image processor of a folder; float32 on a CPU below 2 GB, else bfloat16.

    Raises:
        CheckpointError: the folder is not whole, or its weights are no safetensors.
    """
    from transformers import AutoTokenizer, LlavaForConditionalGeneration
    from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil

    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    bytes_ = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    small = place == "cpu" and bytes_ < 2 * 10**9
    try:
        template = find_template(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        image_processor = PixtralImageProcessorPil.from_pretrained(folder, local_files_only=True)
        model, info = LlavaForConditionalGeneration.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32 if small else torch.bfloat16,
            output_loading_info=True,
        )
    except CheckpointError:
        raise
    except Exception as error:
        # transformers raises whatever its parts raise: each means that the folder is not whole.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(
            f"{folder} cannot be loaded as a Pixtral model ({reason}); copy the whole checkpoint "
            "folder again"
        ) from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise CheckpointError(
            f"{folder} lacks {len(missing)} of the model's weights, {missing[0]} first: copy the "
            "whole checkpoint folder again"
        )
    if template is None:
        raise CheckpointError(f"{folder} has no chat template: copy the whole checkpoint folder")
    tokenizer.chat_template = template
    side = int(model.config.vision_config.patch_size) * int(
        getattr(model.config, "spatial_merge_size", 1)
    )
    return PixtralEngine(model.to(place).eval(), tokenizer, image_processor, side, name, folder)
