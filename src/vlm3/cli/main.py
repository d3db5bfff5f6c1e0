"""The command line: parse, call, print.

Answers go to stdout, as a table or, with --json, one object a line; everything else to stderr.
Every import that costs time stands inside the command that needs it.
"""

import atexit
import gc

import click

from vlm3 import __version__
from vlm3.cli.ask import ask
from vlm3.cli.cloud import cloud
from vlm3.cli.console import CommandGroup
from vlm3.cli.data import add_to
from vlm3.cli.demo import demo
from vlm3.cli.depth import depth
from vlm3.cli.doctor import doctor
from vlm3.cli.evaluation import evaluate, report, score
from vlm3.cli.figure import figure
from vlm3.cli.fov import fov
from vlm3.cli.match import match
from vlm3.cli.measure import measure
from vlm3.cli.photo_options import examples
from vlm3.cli.pose import pose
from vlm3.cli.scene import scene
from vlm3.cli.serve import app, serve
from vlm3.cli.study import study
from vlm3.cli.train import data, plan, train
from vlm3.cli.train_nano import nano
from vlm3.cli.worlds import worlds
from vlm3.threads import share_cores


@click.group(
    cls=CommandGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "vlm3 demo -o demo",
        "vlm3 depth photo.jpg --at 320,240 --fov-deg 65",
        'vlm3 ask photo.jpg "How wide is {0}?" --box 40,60,200,180',
    ),
)
@click.version_option(__version__, message="vlm3 %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """3D answers from a vision language model: distance, objects, matches, camera pose."""
    share_cores()
    # At its end Python looks through all objects for garbage, half a second after a model was
    # loaded; frozen ones are left out, and the process gives its memory back anyway.
    atexit.register(gc.freeze)
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


add_to(data)
train.add_command(nano)
for command in (
    demo,
    doctor,
    depth,
    cloud,
    measure,
    match,
    pose,
    ask,
    fov,
    scene,
    evaluate,
    score,
    report,
    figure,
):
    main.add_command(command)
for command in (train, plan, data, study, worlds, app, serve):
    main.add_command(command)
