"""Answers from vLLM in this process, offline and batched: for a GPU and tens of thousands.

One picture at a time: then vLLM's prefix cache holds it, and no other drives it out. (Cascade
attention, which would also have read it once for all, is gone from vLLM since 0.32.) Needs the
extra `vllm`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from vlm3.errors import InputError, MissingDependencyError
from vlm3.infer.engines.base import AnswerOptions, AnswersByReply, Reply, Scene, UInt8
from vlm3.infer.engines.top_logprobs import recorded, step
from vlm3.tasks.conversation import question_messages
from vlm3.tasks.reading import CUT_OFF

# vLLM's own limit unless `max_logprobs` is raised; digits and what ends them are fewer.
_TOP = 20
_MOST_PICTURES = 2


@dataclass(frozen=True)
class _VllmScene(Scene):
    names: tuple[str, ...] = ()


class VllmEngine(AnswersByReply):
    """Greedy answers from a checkpoint that vLLM loads.

    Args:
        model: a folder or hub id.
        folder: where its files lie, for the digest of its weights; None does without.
        options: more arguments of `vllm.LLM`, such as `gpu_memory_utilization`.

    Raises:
        MissingDependencyError: without vLLM.
    """

    def __init__(self, model: str, *, folder: Path | None = None, **options: Any) -> None:
        try:
            from vllm import LLM, SamplingParams
        except ImportError as error:
            raise MissingDependencyError(
                'this engine needs vLLM and a GPU: pip install "vlm3[vllm]"'
            ) from error
        self._sampling = SamplingParams
        settings: dict[str, Any] = {
            "enable_prefix_caching": True,
            "limit_mm_per_prompt": {"image": _MOST_PICTURES},
            # Pictures come at their final size; no side may be changed again.
            "mm_processor_kwargs": {"min_pixels": 1, "max_pixels": 2**26},
        }
        settings |= options
        self._most_pictures = int(settings["limit_mm_per_prompt"]["image"])
        self._llm = LLM(model=model, **settings)
        self._tokenizer = self._llm.get_tokenizer()
        self.name = f"vllm:{model}"
        self._folder = folder

    @cached_property
    def weights(self) -> str | None:
        """The digest of the model's content; None where its folder is not known."""
        from vlm3.model.digest import model_digest

        return None if self._folder is None else model_digest(self._folder)

    def open(self, images: Sequence[UInt8]) -> Scene:
        """Names the pictures, so that vLLM need not hash them with every question.

        Raises:
            InputError: more pictures than vLLM was opened for: `limit_mm_per_prompt` in `options`.
        """
        if len(images) > self._most_pictures:
            raise InputError(
                f"{len(images)} pictures came, and vLLM was opened for {self._most_pictures} at a "
                "time: give fewer, or leave vllm: out of the model's name"
            )
        names = tuple(
            hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
            for image in images
        )
        return _VllmScene(tuple(images), names)

    def _replies(
        self, scene: Scene, questions: Sequence[str], options: AnswerOptions
    ) -> list[Reply]:
        assert isinstance(scene, _VllmScene)
        pictures = [Image.fromarray(image) for image in scene.images]
        prompts = [
            {
                "prompt": self._prompt(len(pictures), question),
                "multi_modal_data": {"image": pictures},
                "multi_modal_uuids": {"image": list(scene.names)},
            }
            for question in questions
        ]
        limits = self._sampling(temperature=0.0, max_tokens=options.max_new_tokens, logprobs=_TOP)
        # The first alone: otherwise all of them miss the cache together.
        outputs = self._llm.generate(prompts[:1], limits, use_tqdm=False)
        outputs += self._llm.generate(prompts[1:], limits, use_tqdm=False) if prompts[1:] else []
        if options.progress is not None:
            options.progress(len(questions))
        return [_reply(output.outputs[0]) for output in outputs]

    def _prompt(self, pictures: int, question: str) -> str:
        return str(
            self._tokenizer.apply_chat_template(
                question_messages(pictures, question), tokenize=False, add_generation_prompt=True
            )
        )


def _reply(output: Any) -> Reply:
    """One completion: its text, and for each token id the likeliest ids with their texts."""
    steps = [
        step(
            listed[token].decoded_token or "",
            listed[token].logprob,
            [(one.decoded_token or "", one.logprob) for one in listed.values()],
        )
        for token, listed in zip(output.token_ids, output.logprobs, strict=True)
    ]
    cut = getattr(output, "finish_reason", None) == "length"
    return recorded(str(output.text).strip() + (CUT_OFF if cut else ""), steps)
