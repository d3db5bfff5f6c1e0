"""Settings of a checkpoint's prompts: the file `vlm3.json` beside its weights."""

from dataclasses import dataclass
from pathlib import Path

from vlm3.errors import CheckpointError
from vlm3.model.folder import positive
from vlm3.model.side_files import kind_of, read_object

SETTINGS_FILE = "vlm3.json"


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
