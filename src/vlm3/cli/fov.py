"""The command `fov`: the lens of a photograph, estimated from the photograph."""

import math
from typing import TYPE_CHECKING, Any

import click

from vlm3 import strict_json
from vlm3.cli.loading_options import loading
from vlm3.cli.photo_options import examples, model_options, readout_option

if TYPE_CHECKING:
    from vlm3.tasks.answers import Readout


@click.command(
    epilog=examples(
        "vlm3 fov photo.jpg --model runs/fov/model",
        "vlm3 fov a.jpg b.jpg --model runs/fov/model --json",
    )
)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@readout_option
@model_options
def fov(images: tuple[str, ...], readout: "Readout | None", as_json: bool, **settings: Any) -> None:
    """Tell how wide the lens of each IMAGE is.

    The horizontal field of view in degrees, and the focal length it means. Needs a model that was
    trained under the protocol `fov`; EXIF is not looked at.
    """
    from vlm3.infer.generation import require
    from vlm3.infer.loading import load
    from vlm3.tasks.fov import FOV
    from vlm3.view import ASSUMED_FOV_DEG, View

    # Any lens will do: the answer does not depend on it.
    views = [View.open(image, fov_deg=ASSUMED_FOV_DEG) for image in images]
    predictor = load(**loading(settings))
    require(predictor.protocol, FOV.name)
    for view in views:
        answer = predictor.fov(view, readout=readout)
        if as_json:
            record = {**answer.to_json(), "model": predictor.engine.name, "image": view.path}
            click.echo(strict_json.dumps(record))
            continue
        sure = ""
        if answer.spread is not None and math.isfinite(answer.spread.p10[0]):
            sure = f" (p10 to p90: {answer.spread.p10[0]:.0f} to {answer.spread.p90[0]:.0f})"
        click.echo(
            f"{view.path}: horizontal field of view {answer.fov_deg:.1f} degrees{sure}, focal "
            f"length {answer.f_px:.0f} px"
            if answer.parsed
            else f"{view.path}: not understood: {answer.raw_text!r:.60}"
        )
