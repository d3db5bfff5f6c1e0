"""The commands of the README and of the front page are run, one after another as they stand there.

The model is an oracle of one answer a kind of question, for scenes one that knows a wall: what is
tried is that the commands work, not what they find. What needs a data set, a server or a GPU is
named with its reason.
"""

import re
import shlex
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from joint_answers import answering

from vlm3.assets import EXAMPLES_DIR
from vlm3.cli.main import main
from vlm3.geometry.pixels import pixel_centres
from vlm3.infer import loading
from vlm3.infer.engines.fakes import OracleEngine
from vlm3.infer.predictor import Predictor
from vlm3.multiview.oracle import SceneOracle
from vlm3.tasks.protocol import get_protocol
from vlm3.view import AssumedCameraWarning, View

ROOT = Path(__file__).parent.parent
PROTOCOL = get_protocol("joint")
NOT_RUN = {
    "vlm3 app": "a server, until it is stopped",
    "vlm3 serve": "a server, until it is stopped",
    "vlm3 data curate ibims1": "the data set iBims-1",
    "vlm3 eval ibims1": "the data set iBims-1",
    "vlm3 report run": "what vlm3 eval wrote",
    "vlm3 eval shards": "shards of one's own",
    "vlm3 train depth_4b": "the shards of Table 5",
    "vlm3 train nano": "a GPU and half an hour",
    "vlm3 doctor": "a machine on which everything is installed",
}
"""How a command begins -> what it needs."""


def commands(document: str) -> list[str]:
    """The lines of console blocks that run vlm3, without prompt and comment."""
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    parts = [part for block in blocks for part in re.split(r"\n|&&", block)]
    typed = [part.split("  #")[0].strip().removeprefix("$ ") for part in parts]
    return [line for line in typed if line.startswith("vlm3 ")]


def wall(pictures: Sequence[Path]) -> SceneOracle:
    """Knows pictures as taken side by side, 10 cm apart, 3 m before a wall."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumedCameraWarning)
        views = [View.open(path) for path in pictures]
    poses = np.tile(np.eye(4), (len(views), 1, 1))
    poses[:, 0, 3] = 0.1 * np.arange(len(views))
    sizes = [(view.camera.width_px, view.camera.height_px) for view in views]
    away = [
        3 / view.camera.unproject(pixel_centres(*size))[..., 2]
        for view, size in zip(views, sizes, strict=True)
    ]
    return SceneOracle(views, poses, away, PROTOCOL)


@pytest.mark.parametrize("document", ["README.md", "docs/index.md"])
def test_the_commands_run(document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = (EXAMPLES_DIR / f"lounge_{k}.jpg" for k in (1, 2))
    for name in ("photo.jpg", "a.jpg", "photos/1.jpg", "walk/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(first, tmp_path / name)
    for name in ("b.jpg", "walk/2.jpg"):
        shutil.copy(second, tmp_path / name)
    engines = {
        False: OracleEngine(answering()),
        True: wall([tmp_path / "walk" / "1.jpg", tmp_path / "walk" / "2.jpg"]),
    }
    ran = 0
    for command in commands(document):
        if any(command.startswith(start) for start in NOT_RUN):
            continue
        engine = engines[command.startswith("vlm3 scene")]
        predictor = Predictor(engine, PROTOCOL, multiple_px=16)
        monkeypatch.setattr(loading, "load", lambda *given, use=predictor, **how: use)
        words = shlex.split(command)[1:]
        # As a shell does.
        there = [sorted(map(str, Path().glob(w))) if "*" in w else [w] for w in words]
        result = CliRunner().invoke(main, [w for found in there for w in found])
        assert result.exit_code == 0, f"{command}: {result.output}"
        ran += 1
    assert ran > 1


def test_only_commands_of_the_readme_are_left_out() -> None:
    typed = commands("README.md") + commands("docs/index.md")
    assert not [s for s in NOT_RUN if not any(line.startswith(s) for line in typed)]
