"""Checkpoint folders: load any Qwen-VL one, save small ones so that stock libraries read them.

There is no modelling file: the model is the one transformers ships. Local folders and the package
come first, a hub is asked only for a name that is neither. Weights are safetensors or nothing.
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vlm3.errors import CheckpointError, InputError
from vlm3.model.picture import PictureInput, mrope_positions, patchify

NANO_PATH = Path(__file__).parents[1] / "assets" / "nano"
"""The small model that lives in the package."""

_FAMILIES = {"qwen3_vl": "Qwen3-VL", "qwen2_5_vl": "Qwen2.5-VL"}
_HUB_FILES = ["*.json", "*.jinja", "*.txt", "*.safetensors"]
_SETTINGS_FILE = "vlm3.json"
# Weights that take more than this on disk are computed in bfloat16 on a CPU too: float32 would
# double them.
_FLOAT32_LIMIT_BYTES = 2 * 10**9


@dataclass(frozen=True)
class Settings:
    """How a checkpoint wants to be asked, from its `vlm3.json`.

    Attributes:
        protocol: name of the protocol it was trained with, None if the file does not say.
        f_px: focal length every picture is brought to, None for the protocol's own.
        max_tokens: most tokens one picture may take, None for the default limit of `infer.predict`.
    """

    protocol: str | None = None
    f_px: float | None = None
    max_tokens: int | None = None

    @classmethod
    def read(cls, folder: Path) -> "Settings":
        """Reads `vlm3.json`; a folder without one gives empty settings.

        Raises:
            CheckpointError: the file is damaged or has unknown keys.
        """
        path = folder / _SETTINGS_FILE
        if not path.is_file():
            return cls()
        try:
            return cls(**json.loads(path.read_text()))
        except (TypeError, ValueError) as error:
            raise CheckpointError(
                f"{path} cannot be read ({error}); it may hold protocol, f_px and max_tokens"
            ) from error


@dataclass(frozen=True)
class Checkpoint:
    """A model ready to be asked, and what it needs to read text and pictures.

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
        """The text of a conversation up to where the model is to answer, by its own template."""
        return str(
            self.tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=True
            )
        )

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
    mean = torch.tensor(spec.mean, device=patches.device).view(3, 1, 1)
    std = torch.tensor(spec.std, device=patches.device).view(3, 1, 1)
    values = (values - mean) / std
    return values.expand(-1, 3, spec.temporal, area).reshape(len(patches), -1)


def load_checkpoint(
    name_or_path: str | Path, *, device: str | None = None, dtype: torch.dtype | None = None
) -> Checkpoint:
    """Loads "nano", a local folder or, when it is neither, a hub id.

    Args:
        name_or_path: "nano", a folder in Hugging Face layout, or an id such as
            "facebook/VLM3-depth" (looked for in the local cache first).
        device: such as "cpu" or "cuda"; the GPU if there is one.
        dtype: of the weights; float32 for small models on a CPU, else bfloat16.

    Raises:
        CheckpointError: missing, incomplete, pickled, damaged, or not a Qwen-VL model.
        InputError: a device this machine does not have.
    """
    folder = find_folder(str(name_or_path))
    _check(folder)
    place = _device(device)
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model, info = AutoModelForImageTextToText.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                dtype=dtype or _default_dtype(folder, place),
                attn_implementation="sdpa",
                output_loading_info=True,
            )
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
    return Checkpoint(
        model=model.to(place).eval(),
        tokenizer=tokenizer,
        picture_input=PictureInput.read(folder),
        settings=Settings.read(folder),
        name=str(name_or_path),
        path=folder,
    )


def find_folder(name: str) -> Path:
    """The folder of "nano", a local path, or a hub id, which is fetched if need be."""
    if name == "nano":
        return NANO_PATH
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
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
    except Exception:  # Not in the cache: whatever it said, the hub is asked next.
        pass
    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_FILES))
    except Exception as error:
        raise CheckpointError(
            f"{name} is no folder here and could not be fetched from the hub "
            f"({type(error).__name__}); check the name and the network, or give a local folder"
        ) from error


def _check(folder: Path) -> None:
    """Refuses what cannot work, in a sentence, before anything heavy is loaded."""
    config_path = folder / "config.json"
    if not config_path.is_file():
        raise CheckpointError(f"{folder} has no config.json: it is not a checkpoint folder")
    try:
        config = json.loads(config_path.read_text())
        kind = config.get("model_type")
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"{config_path} is not valid JSON ({error})") from error
    if kind not in _FAMILIES:
        raise CheckpointError(
            f"{folder} holds a model of type {kind!r}; vlm3 asks vision language models of type "
            + " or ".join(_FAMILIES)
        )
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        absent = [shard for shard in shards if not (folder / shard).is_file()]
        if absent:
            raise CheckpointError(
                f"{folder} lacks {len(absent)} of {len(shards)} weight files, {absent[0]} first"
            )
    elif not (folder / "model.safetensors").is_file():
        pickled = next((p for s in ("*.bin", "*.pt", "*.pth") for p in folder.glob(s)), None)
        if pickled:
            raise CheckpointError(
                f"{folder} holds pickled weights ({pickled.name}), which can run code when opened; "
                "convert them to safetensors"
            )
        raise CheckpointError(f"{folder} has no model.safetensors: the weights are missing")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise CheckpointError(f"{folder} has no tokenizer.json: copy the whole checkpoint folder")
    PictureInput.read(folder)


def _default_dtype(folder: Path, place: torch.device) -> torch.dtype:
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    small = place.type == "cpu" and weights < _FLOAT32_LIMIT_BYTES
    return torch.float32 if small else torch.bfloat16


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


def save_checkpoint(
    model: Any,
    tokenizer: Any,
    spec: PictureInput,
    folder: Path,
    *,
    settings: Settings,
    dtype: torch.dtype = torch.bfloat16,
) -> None:
    """Writes a Qwen3-VL checkpoint in the layout of the official ones.

    transformers 5 and 4.57 and vLLM read it. What 5 alone would write, 4.57 cannot read, and
    without `tie_word_embeddings` inside the text config 4.57 would load a random output layer
    without a word.

    Args:
        model: a `Qwen3VLForConditionalGeneration` with tied embeddings.
        tokenizer: its tokenizer, with a chat template.
        spec: its picture input.
        folder: made if missing.
        settings: written as `vlm3.json`.
        dtype: of the weights on disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: value.to(dtype).contiguous()
        for name, value in model.state_dict().items()
        if name != "lm_head.weight"
    }
    model.save_pretrained(folder, state_dict=weights)
    tokenizer.save_pretrained(folder)
    _write_config(folder, dtype)
    _write_tokenizer(folder, tokenizer)
    shared = {
        # A side of two tokens at least, a thousand at most: the stock processor resizes to this.
        "size": {
            "shortest_edge": (2 * spec.token_px) ** 2,
            "longest_edge": (1000 * spec.token_px) ** 2,
        },
        "patch_size": spec.patch_px,
        "merge_size": spec.merge,
        "temporal_patch_size": spec.temporal,
        "image_mean": list(spec.mean),
        "image_std": list(spec.std),
        "processor_class": "Qwen3VLProcessor",
    }
    _dump(
        folder / "preprocessor_config.json",
        shared | {"image_processor_type": "Qwen2VLImageProcessorFast"},
    )
    _dump(
        folder / "video_preprocessor_config.json",
        shared | {"video_processor_type": "Qwen3VLVideoProcessor"},
    )
    _dump(folder / _SETTINGS_FILE, {k: v for k, v in asdict(settings).items() if v is not None})


def _write_config(folder: Path, dtype: torch.dtype) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    text = config["text_config"]
    rope = text.pop("rope_parameters")
    text["rope_theta"] = rope["rope_theta"]
    text["rope_scaling"] = {
        "rope_type": "default",
        "mrope_section": rope["mrope_section"],
        "mrope_interleaved": True,
    }
    text["tie_word_embeddings"] = config["tie_word_embeddings"] = True
    for section in (config, text, config["vision_config"]):
        section["dtype"] = str(dtype).removeprefix("torch.")
    _dump(path, config)


def _write_tokenizer(folder: Path, tokenizer: Any) -> None:
    whole = json.loads((folder / "tokenizer.json").read_text())
    words = whole["model"]
    _dump(folder / "vocab.json", words["vocab"])
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in words["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(pairs) + "\n")
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    for key in ("extra_special_tokens", "backend", "add_prefix_space", "is_local"):
        config.pop(key, None)
    fields = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
    added = whole["added_tokens"]
    config["additional_special_tokens"] = [token["content"] for token in added]
    config["added_tokens_decoder"] = {
        str(token["id"]): {field: token[field] for field in fields} for token in added
    }
    config["chat_template"] = tokenizer.chat_template
    _dump(path, config)


def _dump(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
