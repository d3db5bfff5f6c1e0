"""Loads checkpoint folders: any dense Qwen-VL one, or an adapter on its base.

Local folders and the package come first, a hub is queried only for a name that is neither. Weights
are safetensors or nothing.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from vlm3.errors import CheckpointError, InputError
from vlm3.model.adapter import with_adapter
from vlm3.model.checkpoint import Checkpoint
from vlm3.model.finding import base_of, find_folder
from vlm3.model.folder import (
    ADAPTER_CONFIG,
    FAMILIES,
    CheckpointWarning,
    check_folder,
    check_size,
    is_adapter,
)
from vlm3.model.picture import PictureInput
from vlm3.model.settings import SETTINGS_FILE, Settings
from vlm3.model.side_files import kind_of
from vlm3.tasks.conversation import question_messages

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# Weights that take more than this on disk are computed in bfloat16 on a CPU too: float32 would
# double them.
_FLOAT32_LIMIT_BYTES = 2 * 10**9
# On a GPU too models like nano are computed in float32: that costs nothing there, and bfloat16
# moves their answers.
_SMALL_BYTES = 200 * 10**6


def load_checkpoint(
    name_or_path: str | Path,
    *,
    device: str | None = None,
    dtype: torch.dtype | str | None = None,
) -> Checkpoint:
    """Loads "nano", a local folder or, when it is neither, a hub id.

    A folder that holds an adapter only, as peft writes it, is put on the base that it names.

    Args:
        name_or_path: "nano", a folder in Hugging Face layout, or an id such as
            "facebook/VLM3-depth" (looked for in the local cache first).
        device: such as "cpu" or "cuda"; the GPU if there is one.
        dtype: of the weights, such as "bfloat16"; without it float32 for a model like nano, and for
            those below 2 GB on a CPU, else bfloat16.

    Raises:
        CheckpointError: missing, incomplete, pickled, damaged, or not a Qwen-VL model.
        InputError: a device this machine does not have, or a dtype that no weights have.

    Warns:
        CheckpointWarning: tensors or an adapter in the folder were left aside.
    """
    folder = find_folder(str(name_or_path))
    adapter = None
    if is_adapter(folder):
        adapter, folder = folder, base_of(folder)
    template = check_folder(folder)
    place = _device(device)
    kind = _dtype(dtype) or _default_dtype(folder, place)
    settings = Settings.read(adapter if adapter and _has_settings(adapter) else folder)
    model, tokenizer = _stock(folder, kind)
    tokenizer.chat_template = template
    if adapter is not None:
        model = with_adapter(model, adapter)
    checkpoint = Checkpoint(
        model=model.to(place).eval(),
        tokenizer=tokenizer,
        picture_input=PictureInput.read(folder),
        settings=settings,
        name=str(name_or_path),
        path=adapter or folder,
    )
    _check_parts(checkpoint)
    return checkpoint


def _stock(folder: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    """Model and tokenizer, by the library's own loading."""
    from transformers.models.auto.configuration_auto import AutoConfig
    from transformers.models.auto.modeling_auto import AutoModelForImageTextToText
    from transformers.models.auto.tokenization_auto import AutoTokenizer

    from vlm3.model.mapped import mapped_model

    try:
        with _quiet(), _without_adapter(folder) as plain:
            config = AutoConfig.from_pretrained(plain, local_files_only=True)
            check_size(folder, config)
            tokenizer = AutoTokenizer.from_pretrained(plain, local_files_only=True)
            model = mapped_model(plain, config, dtype)
            if model is not None:
                _for_plain_answers(model, folder)
                return model, tokenizer
            model, info = AutoModelForImageTextToText.from_pretrained(
                plain,
                config=config,
                local_files_only=True,
                use_safetensors=True,
                dtype=dtype,
                attn_implementation="sdpa",
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
    except CheckpointError:
        raise
    except Exception as error:
        # transformers raises whatever its parts raise: each means that the folder is not whole.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise CheckpointError(
            f"{folder} cannot be loaded ({type(error).__name__}: {reason[:200]}); "
            "copy the whole checkpoint folder again"
        ) from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise CheckpointError(
            f"{folder} lacks {len(missing)} of the model's weights, {missing[0]} first: "
            "copy the whole checkpoint folder again"
        )
    odd = sorted(info["mismatched_keys"])
    if odd:
        name, held, wanted = odd[0]
        raise CheckpointError(
            f"{folder}: {len(odd)} tensors have another shape than config.json says, {name} first "
            f"({list(held)}, not {list(wanted)}): weights and config are of different models"
        )
    extra = sorted(info["unexpected_keys"])
    if extra:
        warnings.warn(
            f"{folder} holds {len(extra)} tensors that the model does not have, {extra[0]} first; "
            "they were left out",
            CheckpointWarning,
            stacklevel=5,
        )
    _for_plain_answers(model, folder)
    return model, tokenizer


def _for_plain_answers(model: Any, folder: Path) -> None:
    """Leaves of a checkpoint's settings for generation what ends an answer, and nothing else.

    Its own sampling and penalties must not leak into greedy search, nor what it would return
    beside tokens.
    """
    from transformers import GenerationConfig

    own = model.generation_config
    for name in ("eos_token_id", "pad_token_id", "bos_token_id"):
        value = getattr(own, name)
        for one in value if isinstance(value, list) else [value]:
            if one is not None and not (type(one) is int and 0 <= one < 2**31):
                raise CheckpointError(
                    f"{folder / 'generation_config.json'}: {name} is {kind_of(one)}; the number of "
                    "a token is allowed"
                )
    model.generation_config = GenerationConfig(
        eos_token_id=own.eos_token_id, pad_token_id=own.pad_token_id, bos_token_id=own.bos_token_id
    )
    for config in (model.config, model.config.text_config, model.config.vision_config):
        config.output_hidden_states = config.output_attentions = False


@contextmanager
def _without_adapter(folder: Path) -> Iterator[Path]:
    """The folder, or one of links to its files where the library would add an adapter unasked."""
    if not (folder / ADAPTER_CONFIG).is_file():
        yield folder
        return
    with TemporaryDirectory() as made:
        for path in folder.iterdir():
            if not path.name.startswith("adapter_"):
                (Path(made) / path.name).symlink_to(path.resolve())
        yield Path(made)


def _check_parts(checkpoint: Checkpoint) -> None:
    """Asks once, in text: whether template, tokenizer and model speak of the same tokens."""
    tokenizer, config, folder = checkpoint.tokenizer, checkpoint.model.config, checkpoint.path
    words = checkpoint.model.get_input_embeddings().weight.shape[0]
    try:
        mark = tokenizer.convert_ids_to_tokens(checkpoint.image_token_id)
        known = isinstance(mark, str) and tokenizer(mark, add_special_tokens=False)["input_ids"]
    except Exception as error:
        # A tokenizer whose files do not fit one another raises whatever its parts raise.
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise CheckpointError(
            f"{folder}: the tokenizer does not work ({reason}): copy the whole checkpoint folder "
            "again"
        ) from error
    if known != [config.image_token_id] or not 0 <= config.image_token_id < words:
        raise CheckpointError(
            f"{folder}: image_token_id {config.image_token_id!r:.40} of config.json is no token of "
            "the tokenizer: they are of different models"
        )
    for name in ("video_token_id", "vision_start_token_id", "vision_end_token_id"):
        number = getattr(config, name, None)
        if number is not None and not (type(number) is int and 0 <= number < 2**31):
            raise CheckpointError(
                f"{folder / 'config.json'}: {name} is {number!r:.40}; give the number of a token"
            )
    vision, spec = config.vision_config, checkpoint.picture_input
    cut = (spec.patch_px, spec.merge, spec.temporal)
    made = (vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size)
    if cut != made:
        raise CheckpointError(
            f"{folder}: preprocessor_config.json has patch, merge and temporal size {cut}, "
            f"config.json {made}: they are of different models"
        )
    text = checkpoint.prompt_text(question_messages(1, "0880"))
    if text.count(mark) != 1 or "0880" not in text:
        raise CheckpointError(
            f"the chat template of {folder} does not write a picture and a question as "
            f"{FAMILIES[config.model_type]} reads them: it gives {text[:120]!r}"
        )


def _has_settings(folder: Path) -> bool:
    return (folder / SETTINGS_FILE).is_file()


def _dtype(asked: torch.dtype | str | None) -> torch.dtype | None:
    known = {str(kind).removeprefix("torch."): kind for kind in _DTYPES}
    if asked is None or asked in _DTYPES:
        return asked
    if not isinstance(asked, str) or asked not in known:
        raise InputError(f"dtype is {asked!r}; give {', '.join(known)}")
    return known[asked]


def _default_dtype(folder: Path, place: torch.device) -> torch.dtype:
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    limit = _FLOAT32_LIMIT_BYTES if place.type == "cpu" else _SMALL_BYTES
    return torch.float32 if weights < limit else torch.bfloat16


def _device(name: str | None) -> torch.device:
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(name)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"no device {name!r} here; give cpu" + (", cuda" if torch.cuda.is_available() else "")
        ) from error
    return place


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps transformers' progress bars and notices off the user's terminal while loading."""
    from transformers.utils import logging as hf_logging

    level, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity(logging.ERROR)
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
        if bars:
            hf_logging.enable_progress_bar()
