"""Pixtral in this process, through the library's own processor: DepthLM's 12B checkpoint is one.

One `generate` a question. The chat template is the folder's; the one DepthLM was evaluated with
reads a text part's words under "content", newer ones under "text", so both are there. Knows no
task.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from vlm3.errors import CheckpointError
from vlm3.infer.engines.base import Scene, UInt8
from vlm3.model.digest import model_digest
from vlm3.model.side_files import read_object
from vlm3.tasks.reading import CUT_OFF


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
        processor: its `PixtralProcessor`.
        name: as the user named it.
        folder: where it came from.
    """

    model: Any
    processor: Any
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

    def _generate(self, scene: Scene, question: str, max_new_tokens: int) -> str:
        import torch

        content: list[dict[str, str]] = [{"type": "image"} for _ in scene.images]
        content.append({"type": "text", "text": question, "content": question})
        prompt = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
        inputs = self.processor(
            text=[prompt],
            images=[Image.fromarray(image) for image in scene.images],
            # The template writes the token that begins a text.
            add_special_tokens=False,
            return_tensors="pt",
        ).to(self.model.device, self.model.dtype)
        with torch.inference_mode():
            ids = self.model.generate(
                **inputs, do_sample=False, num_beams=1, max_new_tokens=max_new_tokens
            )
        answer = ids[0, inputs["input_ids"].shape[1] :]
        ends = self.model.generation_config.eos_token_id
        known = [ends] if isinstance(ends, int) else ends or []
        cut = len(answer) >= max_new_tokens and int(answer[-1]) not in known
        text = self.processor.tokenizer.decode(answer, skip_special_tokens=True).strip()
        return f"{text}{CUT_OFF if cut else ''}"


def load_pixtral(folder: Path, *, name: str, device: str | None = None) -> PixtralEngine:
    """Model and processor of a folder; float32 on a CPU below 2 GB, else bfloat16.

    Raises:
        CheckpointError: the folder is not whole, or its weights are no safetensors.
    """
    import torch
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    bytes_ = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    small = place == "cpu" and bytes_ < 2 * 10**9
    try:
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        model, info = LlavaForConditionalGeneration.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32 if small else torch.bfloat16,
            output_loading_info=True,
        )
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
    return PixtralEngine(model.to(place).eval(), processor, name, folder)
