"""The naive local engine: one `generate` a question, the pictures read again each time.

Slow and plain on purpose: it is what faster engines are compared with. Knows tokens and devices,
no task.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from vlm3.errors import MissingDependencyError
from vlm3.infer.engines.base import Scene
from vlm3.infer.engines.checkpoint_engine import CheckpointEngine
from vlm3.tasks.conversation import question_messages
from vlm3.tasks.reading import CUT_OFF


class NaiveEngine(CheckpointEngine):
    """Greedy answers from a checkpoint in this process.

    Positions are passed with every question: the stock model keeps the M-RoPE offset of the last
    picture it saw and, left to itself, uses it for the next one too.

    Args:
        checkpoint: from `vlm3.model.load_checkpoint`.
    """

    def ask(self, scene: Scene, questions: Sequence[str], *, max_new_tokens: int) -> list[str]:
        """Answers one question after the other, always with the likeliest token.

        Raises:
            InputError: a picture does not fit the patch grid, or a question holds picture markup.
        """
        return [self._generate(scene, question, max_new_tokens) for question in questions]

    def _generate(self, scene: Scene, question: str, max_new_tokens: int) -> str:
        import torch

        checkpoint = self._checkpoint
        inputs = checkpoint.encode(question_messages(len(scene.images), question), scene.images)
        with torch.inference_mode():
            ids = checkpoint.model.generate(
                **inputs,
                do_sample=False,
                num_beams=1,
                # A released checkpoint's own sampling settings must not leak into greedy search.
                temperature=None,
                top_p=None,
                top_k=None,
                repetition_penalty=None,
                max_new_tokens=max_new_tokens,
            )
        answer = ids[0, inputs["input_ids"].shape[1] :]
        text = str(checkpoint.tokenizer.decode(answer, skip_special_tokens=True)).strip()
        ends = checkpoint.model.generation_config.eos_token_id
        known = [ends] if isinstance(ends, int) else ends or []
        cut = len(answer) >= max_new_tokens and int(answer[-1]) not in known
        return text + (CUT_OFF if cut else "")


def check_torchvision() -> None:
    """Refuses a torchvision built for CUDA beside a torch built without.

    transformers imports torchvision as soon as it finds one, and such a pair cannot be imported:
    no model loads, and the message (`operator torchvision::nms does not exist`) does not say why
    (huggingface/transformers#48558). Looks at the files, imports no torchvision.

    Raises:
        MissingDependencyError: that pair is installed; the text says what to do.
    """
    found = importlib.util.find_spec("torchvision")
    if found is None or not found.submodule_search_locations:
        return
    import torch

    folder = Path(found.submodule_search_locations[0])
    if torch.version.cuda is None and _needs_cuda(folder):
        raise MissingDependencyError(
            f"torchvision in {folder} is built for CUDA, torch {torch.__version__} is not, and no "
            "model can be loaded beside it: pip uninstall torchvision (vlm3 does not need it), "
            "or install the CPU build from PyTorch's own index"
        )


def _needs_cuda(folder: Path) -> bool:
    libraries = (*folder.glob("*.so"), *folder.glob("*.pyd"))
    return any(b"c10_cuda" in library.read_bytes() for library in libraries)
