"""Settings under flat names: the command line's and `run.json`'s, as earlier versions had them.

stored/recipes_flat.json: the recipes' values when a run was one flat class.
stored/run_flat.json: what `vlm3 train debug_cpu --samples 160 --pointing 48 ...` left then.
"""

import ast
import json
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm3.cli.overrides import overridden
from vlm3.data.mixture import ENDLESS, Draw, Mixture
from vlm3.errors import InputError
from vlm3.train import config, resume
from vlm3.train.config import RunConfig
from vlm3.train.curriculum import Curriculum, OpeningStage
from vlm3.train.flat_settings import (
    as_arguments,
    changed,
    flat,
    from_arguments,
    nested,
    read_stored,
    stored,
    to_json,
)
from vlm3.train.parts import (
    ColorMosaics,
    DataConfig,
    ObjectsFolder,
    OwnFolders,
    Part,
    RenderedWorlds,
    Stage,
    TableSets,
)
from vlm3.train.recipes import RECIPES, recipe

STORED = Path(__file__).parent / "stored"
RECIPES_FLAT: dict[str, dict[str, Any]] = json.loads((STORED / "recipes_flat.json").read_text())
TRAIN = Path(config.__file__).parent

tasks = st.sampled_from([("depth",), ("objects",), ("correspondence", "pose"), ()])
share = st.floats(0.01, 1)
parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(TableSets, st.sampled_from(("depth", "pairs")), tasks, share),
    st.builds(ObjectsFolder, tasks, share),
    st.builds(OwnFolders, st.just(("a", "b")), tasks, share, folder_weights=st.just((1.0, 2.0))),
    st.builds(RenderedWorlds, tasks, share, st.integers(0, 9), views=st.integers(0, 9)),
    st.builds(ColorMosaics, share),
)
several = st.lists(parts, min_size=1, max_size=3).map(tuple)
stages = st.lists(st.builds(Stage, st.integers(1, 99), several), min_size=1, max_size=3).map(tuple)
opening = several.map(lambda some: (Stage(5, (ColorMosaics(),)), Stage(0, some)))


@given(st.sampled_from(list(RECIPES)), stages | opening, st.sampled_from((1e-4, 3.0)))
@settings(max_examples=60, deadline=None)
def test_flat_and_back_is_the_same_run(name: str, some: tuple[Stage, ...], rate: float) -> None:
    run = recipe(name)
    run = replace(run, data=DataConfig(some, "there"), optim=replace(run.optim, rate=rate))
    assert nested(flat(run)) == run
    assert from_arguments(as_arguments(run), run) == run
    assert changed(run) == run
    # JSON tells runs apart as values do.
    written = json.loads(json.dumps(stored(run)))
    assert read_stored(written) == to_json(run)
    other = changed(run, samples=run.data.samples + 1)
    assert to_json(other) != to_json(run) and other.data.stages[:-1] == run.data.stages[:-1]


@pytest.mark.parametrize("name", RECIPES_FLAT)
def test_recipes_are_what_they_were(name: str) -> None:
    # Since then the attention is chosen by what the machine has, and so is compiling.
    since = {"attention": "auto", "compile": "auto"}
    assert to_json(recipe(name), every_kind=True) == RECIPES_FLAT[name] | since
    assert RECIPES_FLAT.keys() <= RECIPES.keys()


def words(name: str, value: Any) -> list[str]:
    flag = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return [flag if value else flag.replace("--", "--no-", 1)]
    return [flag, *map(str, value if isinstance(value, list) else [value])]


@pytest.mark.parametrize("name", RECIPES_FLAT)
def test_every_setting_of_before_is_an_option(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another recipe with mosaics for parts, given all values of this one, is this one."""
    pytest.importorskip("tyro", reason="overrides need tyro")
    values = dict(RECIPES_FLAT[name])
    options = [
        word
        for place, part in enumerate(values.pop("parts"))
        for key, value in part.items()
        for word in words(f"parts.{place}.{key}", value)
    ]
    options += [word for key, value in values.items() for word in words(key, value)]
    other = recipe("depth_4b" if name == "debug_cpu" else "debug_cpu")
    other = changed(other, parts=(ColorMosaics(0.5),) * len(recipe(name).data.parts))
    monkeypatch.setitem(RECIPES, "other", lambda: other)
    before = changed(recipe(name), attention="sdpa", compile="off")
    assert overridden("other", options) == before != other
    assert overridden(name, words("rate", 9.0)) == changed(recipe(name), rate=9.0)


def test_a_part_of_another_kind_keeps_nothing_of_the_first() -> None:
    pytest.importorskip("tyro", reason="overrides need tyro")
    run = overridden("debug_cpu", ["--parts.0.kind", "pairs", "--pointing", "0"])
    assert run.data.stages == (
        Stage(12_000, (TableSets("pairs", ("depth",), 0.75), ColorMosaics(0.25))),
    )
    with pytest.raises(InputError, match="a part of folders needs their names"):
        overridden("depth_4b", ["--parts.0.kind", "folders"])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"samples": 0}, "samples is 0; give a number above 0"),
        ({"pointing": 12_001}, "pointing is 12001; give 0 to 12000 samples"),
        ({"pointing": -1}, "pointing is -1"),
        ({"samples": 100}, "pointing is 4000; give 0 to 100"),
        ({"earlier": (Stage(9000, (ColorMosaics(),)),)}, "the stages before the last have 13000"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"batch": 0}, "batch is 0"),
        ({"budget": -1}, "budget is -1"),
        ({"clip": 0.0}, "clip is 0"),
        ({"save_every": 0}, "save_every is 0"),
        ({"check_every": 0}, "check_every is 0"),
        ({"warmup": 1.0}, "warmup is 1.0; give a share"),
        ({"mesh": "4by8"}, "mesh is '4by8'"),
        ({"attention": "fast"}, "attention is 'fast'"),
        ({"attention": "varlen"}, "varlen cannot keep independent questions apart"),
        ({"f_px": 9.0, "long_side_px": 9}, "only one of them"),
        ({"parts": ()}, "there are no parts"),
    ],
)
def test_values_that_are_not_allowed(changes: Any, why: str) -> None:
    with pytest.raises(InputError, match=why):
        changed(recipe("debug_cpu"), **changes)


def test_settings_that_are_none() -> None:
    with pytest.raises(TypeError, match="no settings: rat"):
        changed(recipe("debug_cpu"), rat=1.0)
    with pytest.raises(InputError, match="2 folders have 1 folder_weights"):
        OwnFolders(("a", "b"), ("depth",), folder_weights=(1.0,))
    with pytest.raises(InputError, match="a stage has -1 samples"):
        Stage(-1, (ColorMosaics(),))
    with pytest.raises(InputError, match="there are no stages"):
        DataConfig(())


def old_run(out: Path) -> RunConfig:
    """The run whose settings an earlier version stored; its folder, as if it had begun."""
    (out / "checkpoints" / "step-00000010").mkdir(parents=True)
    (out / resume.FILE).write_bytes((STORED / "run_flat.json").read_bytes())
    run = changed(
        recipe("debug_cpu"), out=out, samples=160, pointing=48, held_out=4, check_every=10,
        save_every=10, questions=12, workers=0, seed=3,
    )  # fmt: skip
    streets, mosaics = run.data.parts
    assert isinstance(streets, RenderedWorlds)
    return changed(run, parts=(replace(streets, views=12), mosaics))


def test_a_folder_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    run = old_run(tmp_path)
    resume.check(run)
    resume.keep(run)
    assert (tmp_path / resume.FILE).read_bytes() == (STORED / "run_flat.json").read_bytes()
    for changes, named in (
        ({"pointing": 40}, r"\(pointing: 48 there, 40 now\)"),
        ({"pointing": 0}, r"\(pointing: 48 there, 0 now\)"),
        ({"rate": 1e-3, "seed": 4}, r"\(rate: 0.002 there, 0.001 now; seed: 3 there, 4 now\)"),
        ({"model": "nano"}, "model: 'tiny' there, 'nano' now"),
        ({"parts": run.data.parts[::-1]}, "parts.0.kind: 'worlds' there, 'pointing' now"),
        ({"earlier": (Stage(9, run.data.parts),)}, "earlier.0.samples: None there, 48 now"),
    ):
        with pytest.raises(InputError, match=named):
            resume.check(changed(run, **changes))  # type: ignore[arg-type]


def test_what_other_kinds_had_in_a_part_decides_nothing(tmp_path: Path) -> None:
    run = old_run(tmp_path)
    note = json.loads((tmp_path / resume.FILE).read_text())
    note["parts"][1] |= {"tasks": ["depth"], "views": 7, "weights": "size"}
    (tmp_path / resume.FILE).write_text(json.dumps(note))
    resume.check(run)


def test_versions_can_be_told_apart(tmp_path: Path) -> None:
    run = old_run(tmp_path)
    (tmp_path / resume.FILE).unlink()
    resume.keep(run)
    assert "schema" not in json.loads((STORED / "run_flat.json").read_text())
    note = json.loads((tmp_path / resume.FILE).read_text())
    assert note["schema"] == 2 and note["parts"][1] == {"kind": "pointing", "share": 0.25}
    resume.check(run)
    (tmp_path / resume.FILE).write_text(json.dumps(note | {"schema": 3}))
    with pytest.raises(InputError, match="schema 3, and this vlm3 knows 1 to 2"):
        resume.check(run)


class Named:
    """A source that is drawn from but never read."""

    def __init__(self, name: str, length: int) -> None:
        self.name, self.length = name, length

    def __len__(self) -> int:
        return self.length


def test_stages_are_drawn_one_after_the_other() -> None:
    last, opening = Mixture((7, 9), (1.0, 1.0), seed=5), Mixture((3, 4), (1.0, 2.0), seed=5)
    sources: Any = [Named(str(k), n) for k, n in enumerate((7, 9, ENDLESS, 3, 4))]
    found = Curriculum(
        tuple(sources), last, (), (OpeningStage(6, 2, None), OpeningStage(8, 3, opening))
    )
    draws = [found.draw(count) for count in range(30)]
    # As mosaics at the start were drawn before there were stages.
    assert draws[:6] == [Draw(2, count, 0) for count in range(6)]
    assert draws[6:14] == [
        replace(draw, source=3 + draw.source) for draw in map(opening.__getitem__, range(8))
    ]
    assert draws[14:] == [last[count] for count in range(16)]
    assert found.opening_samples == 14


def test_who_sees_a_whole_run() -> None:
    """All other modules of train/ take the piece they need."""
    whole = set()
    for path in TRAIN.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "vlm3.train.config":
                whole |= {path.stem for alias in node.names if alias.name == "RunConfig"}
    assert whole == {"flat_settings", "plan", "recipes", "resume", "trainer"}


def test_the_docs_show_what_a_run_is_made_of() -> None:
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    block = text.partition("```\nRunConfig ")[2].partition("```")[0]
    shown = {words[0]: words[1:] for line in block.splitlines() if (words := line.split())}
    hints = get_type_hints(RunConfig)
    pieces = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    for name, piece in pieces.items():
        assert {f.name for f in fields(piece)} == {word.strip(",") for word in shown[name]}, name
    alone = [name for name in hints if name not in pieces]
    assert block.splitlines()[0].replace(",", "").split() == alone
    kinds = [kind.__name__ for kind in get_args(Part)]
    assert [word.strip(",") for word in shown["stages"]][-len(kinds) :] == kinds
