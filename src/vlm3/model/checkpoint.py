"""Checkpoint folders: load any dense Qwen-VL one, or an adapter on its base.

There is no modelling file: the model is the one transformers ships. Local folders and the package
come first, a hub is queried only for a name that is neither. Weights are safetensors or nothing.
"""

import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vlm3.errors import CheckpointError, InputError
from vlm3.model.adapter import base_name, with_adapter
from vlm3.model.folder import (
    ADAPTER_CONFIG,
    FAMILIES,
    CheckpointWarning,
    check_folder,
    check_size,
    is_adapter,
    positive,
    refuse_gguf,
)
from vlm3.model.picture import PictureInput, mrope_positions, patchify
from vlm3.model.side_files import kind_of, read_object
from vlm3.model.template import render

NANO_PATH = Path(__file__).parents[1] / "assets" / "nano"
"""The small model that lives in the package."""

_HUB_FILES = ["*.json", "*.jinja", "*.txt", "*.safetensors"]
SETTINGS_FILE = "vlm3.json"
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# Weights that take more than this on disk are computed in bfloat16 on a CPU too: float32 would
# double them.
_FLOAT32_LIMIT_BYTES = 2 * 10**9
# On a GPU too models like nano are computed in float32: that costs nothing there, and bfloat16
# moves their answers.
_SMALL_BYTES = 200 * 10**6


@dataclass(frozen=True)
class Settings:
    """Settings of a checkpoint's prompts, from its `vlm3.json`.

    Attributes:
        protocol: name of the protocol it was trained with, None if the file does not say.
        f_px: focal length every picture is brought to, None for the protocol's own.
        long_side_px: longer side it is brought to instead; None for the protocol's own.
        max_tokens: most tokens one picture may take, None for the limit of `infer.predictor`.
    """

    protocol: str | None = None
    f_px: float | None = None
    long_side_px: int | None = None
    max_tokens: int | None = None

    @classmethod
    def read(cls, folder: Path) -> "Settings":
        """Reads `vlm3.json`; a folder without one gives empty settings.

        Raises:
            CheckpointError: the file is damaged or has unknown keys.
        """
        path = folder / SETTINGS_FILE
        if not path.is_file():
            return cls()
        found = {k: v for k, v in read_object(path).items() if v is not None}
        try:
            settings = cls(**found)
        except TypeError as error:
            raise CheckpointError(
                f"{path} cannot be read ({str(error)[:120]}); it may hold protocol, f_px, "
                "long_side_px and max_tokens"
            ) from error
        allowed = {
            "protocol": ("a text", isinstance(settings.protocol, (str, type(None)))),
            "f_px": ("a number above 0", settings.f_px is None or positive(settings.f_px)),
            **{
                name: ("a whole number above 0", value is None or _positive_int(value))
                for name, value in (
                    ("long_side_px", settings.long_side_px),
                    ("max_tokens", settings.max_tokens),
                )
            },
        }
        for name, (what, right) in allowed.items():
            if not right:
                raise CheckpointError(
                    f"{path}: {name} is {kind_of(found[name])}; {what} is allowed"
                )
        return settings


def _positive_int(value: object) -> bool:
    return isinstance(value, int) and positive(value)


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
        adapter, folder = folder, _base_of(folder)
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
            stacklevel=4,
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
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "0880"}]}]
    text = checkpoint.prompt_text(asked)
    if text.count(mark) != 1 or "0880" not in text:
        raise CheckpointError(
            f"the chat template of {folder} does not write a picture and a question as "
            f"{FAMILIES[config.model_type]} reads them: it gives {text[:120]!r}"
        )


def find_folder(name: str) -> Path:
    """The folder of "nano", a local path, or a hub id, which is fetched if need be."""
    if name == "nano":
        return NANO_PATH
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        refuse_gguf(folder)
        raise CheckpointError(
            f"{name} is a file: give the folder that holds config.json and the weights"
        )
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name):
        raise CheckpointError(
            f"no model {name!r}: give nano, a folder, or a hub id such as facebook/VLM3-depth"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_FILES, local_files_only=True))
    except Exception:  # Not in the cache: whatever its error, the hub is next.
        pass
    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_FILES))
    except Exception as error:
        raise CheckpointError(
            f"{name} is no folder here and could not be fetched from the hub "
            f"({type(error).__name__}); check the name and the network, or give a local folder"
        ) from error


def _base_of(adapter: Path) -> Path:
    """The folder of the model that an adapter was trained on."""
    named = base_name(adapter)
    # As peft wrote it: a path from where training ran, or beside the adapter.
    beside = adapter / named
    if not Path(named).expanduser().is_dir() and beside.is_dir():
        return beside
    try:
        base = find_folder(named)
    except CheckpointError as error:
        raise CheckpointError(
            f"{adapter} is an adapter for {named!r}, which is not here ({error}); correct "
            f"base_model_name_or_path in {ADAPTER_CONFIG}"
        ) from error
    if is_adapter(base):
        raise CheckpointError(
            f"{adapter} is an adapter for {named!r}, which is an adapter itself: merge that first"
        )
    return base


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
