"""Options that name a model, the same wherever one is named. Imports nothing that costs time."""

from collections.abc import Callable, Mapping
from typing import Any

import click

Command = Callable[..., None]

# Spelled out, because reading them from vlm3.tasks.protocol would make --help load numpy.
PROTOCOL_NAMES = (
    "paper, release-depth, release-object, release-corr, release-corr-direct, release-pose, joint "
    "or fov"
)


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, in the order the help shows them."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def asking_options(
    models: str = "nano, a checkpoint folder, a hub id such as facebook/VLM3-depth, openai:NAME "
    "behind a server, or vllm:FOLDER.",
) -> Callable[[Command], Command]:
    """Which model, where it runs and under which protocol.

    Args:
        models: what the help of --model says.
    """
    return together(
        click.option("--model", default="nano", show_default=True, metavar="M", help=models),
        click.option(
            "--base-url",
            metavar="URL",
            help="Of an OpenAI-compatible server, with --model openai:NAME. Default: "
            "OPENAI_BASE_URL, else OpenAI's.",
        ),
        click.option(
            "--protocol",
            metavar="P",
            help=f"How to ask: {PROTOCOL_NAMES}. Default: what the model was trained with.",
        ),
        click.option(
            "--device", metavar="D", help="cpu or cuda. Default: the GPU if there is one."
        ),
        click.option(
            "--int8",
            is_flag=True,
            help="On a CPU: compute in whole numbers, faster, if the answers stay what they were.",
        ),
        click.option(
            "--no-cache",
            is_flag=True,
            help="Send a server every question again, and keep no answers.",
        ),
    )


def loading(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What of these options `vlm3.load` takes."""
    chosen = {name: settings[name] for name in ("model", "protocol", "device")}
    chosen |= {name: settings[name] for name in ("base_url", "int8") if settings[name]}
    return chosen | ({"cache": False} if settings["no_cache"] else {})
