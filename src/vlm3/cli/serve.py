"""The commands `vlm3 serve` and `vlm3 app`: parse, check, load, serve.

Loads nothing but click until a command runs.
"""

import os
import socket
import sys
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click

from vlm3.cli.loading_options import Command, asking_options, loading
from vlm3.cli.photo_options import calibrator_option
from vlm3.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from vlm3.server.limits import Limits

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_PACKAGES = ("fastapi", "uvicorn", "prometheus_client")


def _server_options(command: Command) -> Command:
    options = (
        asking_options(),
        calibrator_option,
        click.option(
            "--host", default="127.0.0.1", show_default=True,
            help="Address to listen on; 0.0.0.0 lets the network in: set a key then.",
        ),
        click.option(
            "--port", default=8000, show_default=True, type=click.IntRange(0, 65535),
            help="0 takes any that is free.",
        ),
        click.option(
            "--api-key", metavar="KEY", envvar="VLM3_API_KEY", show_envvar=True,
            help="Ask for it in every request (Authorization: Bearer KEY).",
        ),
        click.option(
            "--most-requests", default=128, show_default=True, type=click.IntRange(1, 1024),
            help="Under way at once; more are refused for now (429).",
        ),
        click.option(
            "--timeout", "timeout_s", default=120.0, show_default=True,
            type=click.FloatRange(0.1, 3600), help="Seconds a request may take.",
        ),
        click.option(
            "--most-megapixels", default=50, show_default=True, type=click.IntRange(1, 150),
            help="Of one picture; fewer where there is little memory.",
        ),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.command(
    epilog="\b\nExamples:\n  vlm3 serve\n  vlm3 serve --model facebook/VLM3-depth --port 9000\n"
    "  VLM3_API_KEY=... vlm3 serve --host 0.0.0.0",
)
@_server_options
def serve(**settings: Any) -> None:
    """Serve the model: OpenAI's chat route and 3D routes.

    /v1/chat/completions, /v1/models; /v1/depth, /v1/depth_map, /v1/measure, /v1/match, /v1/pose,
    /v1/objects, /v1/picture; /health, /metrics. The schema is at /openapi.json. Ctrl-C ends it;
    requests under way are finished first.
    """
    _run(settings, page=False, browser=False)


@click.command(
    epilog="\b\nExamples:\n  vlm3 app\n  vlm3 app --pictures holiday/\n"
    "  vlm3 app --model my-checkpoint --no-browser",
)
@_server_options
@click.option(
    "--pictures", metavar="FOLDER", help="Pictures to choose from on the page; or a pattern."
)
@click.option(
    "--browser/--no-browser",
    default=True,
    help="Open the page in a browser, where there is a display.",
)
def app(browser: bool, pictures: str | None, **settings: Any) -> None:
    """Try the model in a browser.

    Click for distances, measure between two points, draw boxes and ask, match, camera motion, a
    cloud to turn. Everything stays on this machine. The routes of vlm3 serve are there too.
    """
    _run(settings, page=True, browser=browser, pictures=pictures)


def _run(
    settings: dict[str, Any], *, page: bool, browser: bool, pictures: str | None = None
) -> None:
    _check_packages()
    from vlm3.cli.picture_sources import picture_paths
    from vlm3.curation.intrinsics import calibrate_by
    from vlm3.infer.generation import TokenBudgetWarning
    from vlm3.infer.loading import load
    from vlm3.server.application import create_app, is_loopback
    from vlm3.server.middleware import Access
    from vlm3.server.process import exit_code
    from vlm3.server.process import serve as serve_app
    from vlm3.view import AssumedCameraWarning

    files = [] if pictures is None else picture_paths(pictures)
    host, key = settings["host"], settings["api_key"] or None
    local = is_loopback(host)
    taken = _listening(host, settings["port"])
    if not local and key is None:
        click.echo(
            f"vlm3: warning: anyone who can reach {host} can use this server: "
            "set VLM3_API_KEY, or leave --host out",
            err=True,
        )
    calibrate = calibrate_by(settings["calibrator"])
    click.echo(f"loading {settings['model']} ...", err=True)
    predictor = load(**loading(settings))
    # Said in the answers, where whoever asked can read it.
    for category in (AssumedCameraWarning, TokenBudgetWarning):
        warnings.simplefilter("ignore", category)
    access = Access(key, tuple(dict.fromkeys((*_LOOPBACK, host))) if local else None)
    limits = _limits(settings)
    port = taken.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}/" if page else f"http://{shown}:{port}/v1"
    click.echo(
        f"{predictor.engine.name} (protocol {predictor.protocol.name}) at {url}  Ctrl-C ends it",
        err=True,
    )
    taken.listen(128)  # Who comes from now on waits until the server is up.
    if browser and has_display():
        click.launch(url)
    whole = create_app(
        predictor,
        limits=limits,
        access=access,
        page=page,
        pictures=files,
        calibrate=calibrate,
    )
    ended_by = serve_app(whole, taken, quiet=page)
    click.get_current_context().exit(exit_code(ended_by))


def has_display() -> bool:
    """Whether a browser can show anything: over ssh or in a container there is none to open."""
    displays = ("DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform in ("darwin", "win32") or any(map(os.environ.get, displays))


def _check_packages() -> None:
    """Refuses to start without the packages of the server."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise MissingDependencyError(f'{", ".join(missing)} not installed: pip install "vlm3[app]"')


def _limits(settings: dict[str, Any]) -> "Limits":
    """What the server takes on; says where memory allows less than was wanted."""
    from vlm3.server.limits import Limits, memory_bytes, pixels_for

    wanted_px, memory = settings["most_megapixels"] * 10**6, memory_bytes()
    picture_px, all_pictures_px = pixels_for(memory, wanted_px)
    if picture_px < wanted_px:
        click.echo(
            f"vlm3: warning: pictures of at most {picture_px / 1e6:.1f} megapixels are read, not "
            f"{wanted_px / 1e6:g}: there are {memory / 2**30:.1f} GiB of memory",
            err=True,
        )
    return Limits(
        requests=settings["most_requests"],
        timeout_s=settings["timeout_s"],
        picture_px=picture_px,
        all_pictures_px=all_pictures_px,
    )


def _listening(host: str, port: int) -> socket.socket:
    """A socket bound to that address, so that what is wrong with it is said before a model loads.

    Raises:
        InputError: no such address, or something else has the port.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"cannot listen on {host}, port {port} ({error}): choose another with --port or --host"
        ) from error
    return bound
