"""The local engine: pictures encoded once, thousands of questions after them in batches.

Gives the texts of the naive engine. A prompt is pictures and shared words, encoded once and held
once, then the question's own tokens, then the answer; positions are always explicit, because the
stock model's own offset belongs to the last picture it saw. Knows tokens and devices, no task.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from vlm3.errors import InputError
from vlm3.infer.decoding.batching import Decoder
from vlm3.infer.decoding.planner import Ids, common_length, plan_batches
from vlm3.infer.decoding.prefix_attention import RowMemory, Segment
from vlm3.infer.engines.base import AnswerOptions, AnswersByReply, Reply, Scene
from vlm3.infer.engines.checkpoint_engine import CheckpointEngine
from vlm3.infer.engines.tower import VisionTower, picture_digest
from vlm3.model import Checkpoint
from vlm3.tasks.conversation import question_messages

# Of what is held between calls; see `held_limit`.
_LEAST_LIMIT, _HIGHEST_LIMIT = 2**28, 2**30
# A shared beginning shorter than this costs more as a pass of its own than it saves.
_SHORTEST_TRUNK = 4


def held_limit(model: torch.nn.Module) -> int:
    """Bytes that encoded pictures may take: as the weights do, from 256 MiB to 1 GiB.

    A server of a small model would else grow to many times its size, by pictures that never come
    again.
    """
    weights: int = sum(p.nbytes for p in model.parameters())
    return min(max(weights, _LEAST_LIMIT), _HIGHEST_LIMIT)


@dataclass(frozen=True)
class _Prefix:
    """Pictures and the words after them, encoded.

    Attributes:
        segment: keys and values of all of it.
        words: the tokens after the pictures.
        pictures: how many tokens stand before them.
        offset: M-RoPE position, on all three axes, minus index, of every token after the pictures.
    """

    segment: Segment
    words: Ids
    pictures: int
    offset: int


class LocalEngine(CheckpointEngine, AnswersByReply):
    """Greedy answers from a checkpoint in this process, many about the same pictures at once.

    `ask` and `reply` raise InputError when a picture does not fit the patch grid, or a question
    holds picture markup. Threads take turns, a call each: there is one model, one memory of its
    steps, and one of the pictures it saw.

    Args:
        checkpoint: from `vlm3.model.load_checkpoint`.
        most_rows: questions in a batch at most; from the free memory when None.
        held_bytes: most memory that encoded pictures may take between calls; the latest stay in
            any case. `held_limit` when None.

    Raises:
        InputError: a model with layers that see only a window of the text.
    """

    holds_forms = True

    def __init__(
        self, checkpoint: Checkpoint, *, most_rows: int | None = None, held_bytes: int | None = None
    ) -> None:
        config = checkpoint.model.config
        if "sliding_attention" in (getattr(config.text_config, "layer_types", None) or ()):
            raise InputError(
                f"{checkpoint.name} has layers that see a window only: ask it with engine='naive'"
            )
        super().__init__(checkpoint)
        self._decoder = Decoder(checkpoint)
        self._most_rows = most_rows
        self._held_bytes = held_limit(checkpoint.model) if held_bytes is None else held_bytes
        self._held: OrderedDict[bytes, _Prefix] = OrderedDict()
        # Progress is told in the middle of a turn, and may ask something itself.
        self._turn = threading.RLock()
        # Features are a small part of what keys and values of the same pictures take.
        self._tower = VisionTower(checkpoint.model.model, self._held_bytes // 4)

    def _replies(
        self, scene: Scene, questions: Sequence[str], options: AnswerOptions
    ) -> list[Reply]:
        with self._turn, torch.inference_mode():
            return self._answered(scene, questions, options)

    def _answered(
        self, scene: Scene, questions: Sequence[str], options: AnswerOptions
    ) -> list[Reply]:
        unique = {question: place for place, question in enumerate(dict.fromkeys(questions))}
        words = self._words(len(scene.images), list(unique))
        shared = common_length(words)
        prefix = self._open(scene, words[0][:shared])
        segments: tuple[Segment, ...] = (prefix.segment,)
        common = len(prefix.words)
        if shared - common >= _SHORTEST_TRUNK and len(words) > 1:
            more = self._decoder.extend(
                prefix.segment,
                words[0][common:shared],
                start=prefix.pictures + common + prefix.offset,
            )
            segments, common = (prefix.segment, more), shared
        tails = [row[common:] for row in words]
        most = self._most_rows or self._decoder.rows_that_fit(tails, options.max_new_tokens)
        repeats = [0] * len(words)
        for question in questions:
            repeats[unique[question]] += 1
        found: dict[int, Reply] = {}
        memory = RowMemory()
        for batch in plan_batches(tails, most_rows=most, pass_tokens=self._decoder.pass_tokens):
            replies = self._decoder.run(
                segments,
                batch,
                start=prefix.pictures + common + prefix.offset,
                options=options,
                memory=memory,
            )
            found.update(zip(batch.rows, replies, strict=True))
            if options.progress is not None:
                options.progress(sum(repeats[place] for place in batch.rows))
        return [found[unique[question]] for question in questions]

    def prompt_tokens(self, scene: Scene, question: str) -> int:
        """How many tokens the model reads for one question: pictures, words, chat markup."""
        checkpoint = self._checkpoint
        side = checkpoint.token_px
        seen: int = sum(i.shape[0] // side * (i.shape[1] // side) for i in scene.images)
        text = checkpoint.prompt_text(question_messages(len(scene.images), question))
        words: int = len(checkpoint.tokenizer(text, add_special_tokens=False)["input_ids"])
        return words - len(scene.images) + seen

    def _words(self, pictures: int, questions: Sequence[str]) -> list[Ids]:
        """For each question the tokens after the last picture.

        The mark of a picture is a special token, and text is never joined across one: the words
        after it tokenise as they do in the whole prompt.
        """
        checkpoint = self._checkpoint
        mark = checkpoint.tokenizer.convert_ids_to_tokens(checkpoint.image_token_id)
        texts = []
        for question in questions:
            parts = checkpoint.prompt_text(question_messages(pictures, question)).split(mark)
            if len(parts) != pictures + 1:
                raise InputError(
                    f"a question holds {mark}, which stands for a picture; leave it out"
                )
            texts.append(mark + parts[-1])
        rows = checkpoint.tokenizer(texts, add_special_tokens=False)["input_ids"]
        return [tuple(row[1:]) for row in rows]

    def _open(self, scene: Scene, words: Ids) -> _Prefix:
        """The pictures and as many of these words as are, or now become, encoded."""
        pictures = [picture_digest(image) for image in scene.images]
        key = b"".join(pictures)
        prefix = self._held.pop(key, None) or self._encode(scene, pictures, words)
        self._held[key] = prefix
        while len(self._held) > 1 and self.held_bytes > self._held_bytes:
            self._held.popitem(last=False)
        alike = common_length([(*prefix.words, -1), (*words, -2)])
        return _Prefix(
            prefix.segment.first(prefix.pictures + alike),
            prefix.words[:alike],
            prefix.pictures,
            prefix.offset,
        )

    @property
    def held_bytes(self) -> int:
        """Memory that encoded pictures take now."""
        return sum(prefix.segment.bytes for prefix in self._held.values())

    def _encode(self, scene: Scene, keys: Sequence[bytes], words: Ids) -> _Prefix:
        checkpoint = self._checkpoint
        inputs = checkpoint.encode(question_messages(len(scene.images), ""), scene.images)
        (ids,), positions = inputs["input_ids"], inputs["position_ids"]
        marks = (ids == checkpoint.image_token_id).nonzero()
        pictures = int(marks[-1]) + 1 if len(marks) else 0
        offset = int(positions[0, 0, pictures]) - pictures
        ids = torch.cat([ids[:pictures], ids.new_tensor(words)])[None]
        after = torch.arange(pictures, ids.shape[1], device=ids.device) + offset
        seen = {}
        if pictures:
            seen = self._tower.inputs(keys, inputs["pixel_values"], inputs["image_grid_thw"])
        out = checkpoint.model.model(
            input_ids=ids,
            position_ids=torch.cat([positions[..., :pictures], after.expand(3, 1, -1)], dim=-1),
            mm_token_type_ids=(ids == checkpoint.image_token_id).long(),
            use_cache=True,
            **seen,
        )
        layers = out.past_key_values.layers
        segment = Segment(
            tuple(layer.keys.contiguous() for layer in layers),
            tuple(layer.values.contiguous() for layer in layers),
        )
        return _Prefix(segment, words, pictures, offset)
