"""A run's settings under flat names: what the command line changes and what `run.json` keeps.

A setting is called as its field, whatever piece of `RunConfig` that stands in: `optim.rate` is
`rate`. Of stages the command line knows two: `parts`, those of the last one, and `pointing`, the
samples of mosaics alone that may come before it. Earlier versions kept runs in this form only.
"""

import inspect
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, fields, is_dataclass, make_dataclass
from functools import reduce
from typing import Any, NamedTuple, get_type_hints

from vlm3.errors import InputError
from vlm3.train.config import RunConfig
from vlm3.train.part_settings import PartSettings, with_own
from vlm3.train.parts import ColorMosaics, Part, Stage

SCHEMA = 2
"""Of `run.json`. Without a schema: an earlier version, with every kind's fields in every part."""

_OTHER_NAMES = {("model", "source"): "model", ("data", "root"): "data"}
_STAGES = ("data", "stages")


class _Setting(NamedTuple):
    """A setting and the field it is.

    Attributes:
        name: flat.
        path: of the field, from the run.
        type: of the field.
        default: of the field, or MISSING.
        text: what it means.
    """

    name: str
    path: tuple[str, ...]
    type: Any
    default: Any
    text: str


def _settings() -> Iterator[_Setting]:
    """Every setting of a run but its stages."""
    hints, texts = get_type_hints(RunConfig), _texts(RunConfig)
    for outer in fields(RunConfig):
        piece = hints[outer.name]
        if not (isinstance(piece, type) and is_dataclass(piece)):
            yield _Setting(outer.name, (outer.name,), piece, outer.default, texts[outer.name])
            continue
        inner_hints, inner_texts = get_type_hints(piece), _texts(piece)
        for inner in fields(piece):
            path = (outer.name, inner.name)
            if path != _STAGES:
                yield _Setting(
                    _OTHER_NAMES.get(path, inner.name),
                    path,
                    inner_hints[inner.name],
                    inner.default,
                    inner_texts[inner.name],
                )


def _texts(owner: type) -> dict[str, str]:
    """What the fields of a dataclass mean, from its docstring."""
    attributes = (inspect.getdoc(owner) or "").partition("Attributes:\n")[2]
    return defaultdict(str, re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", attributes, re.M))


def flat(run: RunConfig) -> dict[str, Any]:
    """Every setting of a run by its name.

    `parts` are the last stage's, as they are; `earlier` are the stages before it, where those are
    more than the mosaics that `pointing` counts.
    """
    found: dict[str, Any] = {}
    for setting in _settings():
        found[setting.name] = reduce(getattr, setting.path, run)
    *earlier, last = run.data.stages
    mosaics = [bool(s.samples) and s.parts == (ColorMosaics(),) for s in earlier] == [True]
    return found | {
        "samples": run.data.samples,
        "pointing": earlier[0].samples if mosaics else 0,
        "earlier": () if mosaics else tuple(earlier),
        "parts": last.parts,
    }


def nested(settings: Mapping[str, Any]) -> RunConfig:
    """The run of settings as `flat` returns them.

    Raises:
        InputError: a value that is not allowed.
    """
    samples, pointing = settings["samples"], settings["pointing"]
    if not samples > 0:
        raise InputError(f"samples is {samples}; give a number above 0")
    if not 0 <= pointing <= samples:
        raise InputError(f"pointing is {pointing}; give 0 to {samples} samples")
    earlier: tuple[Stage, ...] = settings["earlier"]
    if pointing:
        earlier = (Stage(pointing, (ColorMosaics(),)), *earlier)
    rest = samples - sum(stage.samples for stage in earlier)
    if rest < 0:
        raise InputError(f"samples is {samples}; the stages before the last have {samples - rest}")
    pieces: dict[str, Any] = {"data": {"stages": (*earlier, Stage(rest, settings["parts"]))}}
    for setting in _settings():
        *outer, inner = setting.path
        piece = pieces.setdefault(outer[0], {}) if outer else pieces
        piece[inner] = settings[setting.name]
    hints = get_type_hints(RunConfig)
    return RunConfig(
        **{
            name: hints[name](**value) if is_dataclass(hints[name]) else value
            for name, value in pieces.items()
        }
    )


def changed(run: RunConfig, **settings: Any) -> RunConfig:
    """A copy of a run with other values of some settings, such as `rate=1e-4`.

    Raises:
        TypeError: there is no setting of that name.
        InputError: a value that is not allowed.
    """
    before = flat(run)
    if unknown := settings.keys() - before.keys():
        raise TypeError(f"no settings: {', '.join(sorted(unknown))}")
    return nested(before | settings)


def as_arguments(run: RunConfig) -> Any:
    """A dataclass with a field a setting, holding the run's values: what tyro makes options of."""
    values = flat(run)
    values["parts"] = tuple(PartSettings.of(part) for part in values["parts"])
    types: dict[str, Any] = {"samples": int, "pointing": int}
    texts = {
        "samples": "in all; a sample is one picture, or one pair, with all its questions.",
        "pointing": "samples at the start that are mosaics alone; see `train.mosaics`.",
    }
    for setting in _settings():
        types[setting.name], texts[setting.name] = setting.type, setting.text
    types["parts"] = tuple[PartSettings, ...]
    made = make_dataclass("RunSettings", types.items(), frozen=True)
    described = "\n".join(f"    {name}: {text}" for name, text in texts.items())
    made.__doc__ = f"One training run.\n\nAttributes:\n{described}\n"
    return made(**{name: values[name] for name in types})


def from_arguments(arguments: Any, run: RunConfig) -> RunConfig:
    """The run of what `as_arguments` returned for `run`, and somebody changed.

    Raises:
        InputError: a value that is not allowed.
    """
    values = {f.name: getattr(arguments, f.name) for f in fields(arguments)}
    values["parts"] = tuple(part.part() for part in values["parts"])
    return changed(run, **values)


def to_json(run: RunConfig, *, every_kind: bool = False) -> dict[str, Any]:
    """The settings as JSON values.

    Args:
        run: whose.
        every_kind: parts with the settings of every kind, as the command line has them.
    """

    def parts(several: Sequence[Part]) -> list[dict[str, Any]]:
        whole = [asdict(PartSettings.of(part)) for part in several]
        return whole if every_kind else [with_own(part) for part in whole]

    values = flat(run)
    earlier = [{"samples": s.samples, "parts": parts(s.parts)} for s in values.pop("earlier")]
    values["parts"] = parts(values["parts"])
    found: dict[str, Any] = json.loads(
        json.dumps(values | ({"earlier": earlier} if earlier else {}), default=str, allow_nan=False)
    )
    return found


def stored(run: RunConfig) -> dict[str, Any]:
    """What `run.json` holds."""
    return {"schema": SCHEMA} | to_json(run)


def read_stored(found: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in a `run.json` of this or an earlier version, as `to_json` gives them.

    What an earlier version noted in a part of another kind's settings decided nothing, and is left
    out. A setting that came later is missing, and had its default value; see `defaults`.

    Raises:
        InputError: a later version wrote it.
    """
    settings = dict(found)
    schema = settings.pop("schema", 1)
    if schema not in (1, SCHEMA):
        raise InputError(
            f"its settings have schema {schema!r}, and this vlm3 knows 1 to {SCHEMA}: go on with "
            "the version that began the run, or give another folder with --output"
        )
    parts = settings.get("parts")
    if isinstance(parts, list) and all(isinstance(part, dict) for part in parts):
        settings["parts"] = [with_own(part) for part in parts]
    return settings


def defaults() -> dict[str, Any]:
    """The default of every setting that has one, of runs and of parts, as JSON values."""
    known = {s.name: s.default for s in _settings()} | {
        f.name: f.default for f in fields(PartSettings)
    }
    known = {"pointing": 0} | {k: v for k, v in known.items() if v is not MISSING}
    found: dict[str, Any] = json.loads(json.dumps(known, allow_nan=False))
    return found
