"""The one-file page: what is in it, that nothing is fetched, and what people do with it."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlm3.geometry.camera import Camera
from vlm3.infer.maps import DepthMap, grid_px
from vlm3.output.results import shown_map
from vlm3.view import View
from vlm3.viz.viewer import ShownMap, render_viewer, write_viewer

CAMERA = Camera(150, 150, 80, 60, 160, 120)
EVIL = '</script><img src="http://evil.example/x.png" onerror="alert(1)">\u2028%%DATA%%'


def shown(columns: int, rows: int, *, image: np.ndarray | None = None) -> ShownMap:
    rng = np.random.default_rng(0)
    view = View(
        rng.integers(0, 256, (120, 160, 3), dtype=np.uint8) if image is None else image, CAMERA
    )
    xy = grid_px(CAMERA, columns, rows)
    distance = 2 + np.arange(columns * rows, dtype=float).reshape(rows, columns) / (columns * rows)
    distance[0, 0] = np.nan
    prompts = [f"How far is ({x:.0f}, {y:.0f}), please?" for x, y in xy.reshape(-1, 2)]
    raw = [f"{d:.2f}" for d in distance.ravel()]
    raw[0] = EVIL
    asked = np.ones((rows, columns), bool)
    asked[1, 1] = False
    prompts[columns + 1] = raw[columns + 1] = ""
    made = DepthMap(
        xy_px=xy,
        distance_m=distance,
        p10_m=0.9 * distance,
        p90_m=1.2 * distance,
        asked=asked,
        image=view.image,
        camera=CAMERA,
        protocol="joint",
        readout="median",
        prompt=np.array(prompts, dtype=object).reshape(rows, columns),
        raw_text=np.array(raw, dtype=object).reshape(rows, columns),
    )
    return shown_map(made, view)


def page(maps: list[ShownMap]) -> str:
    return render_viewer(
        maps, title="A <b>title</b>", facts={"model": "m & co"}, readout="median", notes=["Mind."]
    )


def test_it_is_one_file_that_names_no_address() -> None:
    text = page([shown(8, 6)])
    assert not re.search(r"(src|href)=[\"']?(?!data:)[\w/.]+", text)
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    outside = text.replace(json.dumps(data), "").split('id="data">')[0]
    assert "http://" not in outside and "https://" not in outside
    assert "default-src 'none'" in text and "connect-src" not in text
    assert "A &lt;b&gt;title" in text and "m &amp; co" in text
    # What a model wrote can end no element, and fills no place of the template.
    assert text.count("</script>") == 2 and "evil.example" in json.dumps(data)
    assert data["maps"][0]["raw"]["texts"][0] == EVIL


def test_prompts_are_whole_again() -> None:
    one = shown(8, 6)
    data = json.loads(page([one]).split('id="data">')[1].split("</script>")[0])["maps"][0]
    prompts = data["prompts"]
    assert prompts["start"] == "How far is (" and prompts["end"].endswith("), please?")
    again = [
        "" if middle is None else prompts["start"] + middle + prompts["end"]
        for middle in prompts["middles"]
    ]
    assert again == one.prompt.ravel().tolist()


def test_a_map_of_a_large_photograph_stays_small(tmp_path: Path) -> None:
    """64x48 cells, prompts of the longest protocol, a picture that JPEG hates: under 8 MB."""
    rng = np.random.default_rng(0)
    camera = Camera(3000, 3000, 2016, 1512, 4032, 3024)
    view = View(rng.integers(0, 256, (3024, 4032, 3), dtype=np.uint8), camera)
    small = shown(64, 48)
    long = np.array([f"{'word ' * 120}{k}" for k in range(64 * 48)], dtype=object)
    large = ShownMap(
        view=view,
        xy_px=grid_px(camera, 64, 48),
        distance_m=small.distance_m,
        p10_m=small.p10_m,
        p90_m=small.p90_m,
        asked=small.asked,
        rgb=small.rgb,
        prompt=long.reshape(48, 64),
        raw_text=long.reshape(48, 64),
    )
    path = write_viewer([large], tmp_path / "a.html", title="t", facts={})
    assert path.stat().st_size < 8_000_000


# --- in a browser --------------------------------------------------------------------------

CHROMIUM = os.environ.get("VLM3_CHROMIUM") or shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
GL = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@pytest.fixture(scope="module", params=["webgl", "flat"])
def browser(request: pytest.FixtureRequest) -> Iterator[tuple[str, Any]]:
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no chromium: apt-get install chromium, or name one in VLM3_CHROMIUM")
    flags = [*FLAGS, *(GL if request.param == "webgl" else ["--disable-gpu", "--disable-3d-apis"])]
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield request.param, opened
        opened.close()


@pytest.fixture
def opened(browser: tuple[str, Any], tmp_path: Path) -> Iterator[tuple[str, Any, list[ShownMap]]]:
    """The page from disk, with two maps, offline; fails on any request or console line."""
    kind, window = browser
    maps = [shown(16, 12), shown(8, 6)]
    path = write_viewer(maps, tmp_path / "a.html", title="A title", facts={"model": "m"})
    context = window.new_context(
        offline=True, viewport={"width": 1200, "height": 800}, reduced_motion="reduce"
    )
    tab = context.new_page()
    tab.set_default_timeout(60_000)
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: said.append(request.url[:60]))
    tab.goto(path.as_uri())
    tab.wait_for_selector("#tabs button")
    yield kind, tab, maps
    heard = [
        line
        for line in said
        # Chromium itself tells that reading back from a software WebGL is slow.
        if not line.startswith(("data:", "file:")) and "GPU stall" not in line
    ]
    context.close()
    assert heard == []


def at(tab: Any, one: ShownMap, row: int, column: int) -> tuple[float, float]:
    box = tab.locator("#picture").bounding_box()
    rows, columns = one.distance_m.shape
    x = box["x"] + (column + 0.5) / columns * box["width"]
    return x, box["y"] + (row + 0.5) / rows * box["height"]


def test_hover_tells_distance_interval_question_and_answer(
    opened: tuple[str, Any, list[ShownMap]],
) -> None:
    kind, tab, (one, _) = opened
    assert tab.get_attribute("#cloud", "data-renderer") == kind
    tab.mouse.move(*at(tab, one, 7, 9))
    d = one.distance_m[7, 9]
    read = tab.inner_text("#read")
    assert f"{d:.2f} m from the camera" in read
    assert f"80 % between {one.p10_m[7, 9]:.2f} m and {one.p90_m[7, 9]:.2f} m" in read
    assert tab.inner_text("#prompt") == one.prompt[7, 9]
    assert tab.inner_text("#raw") == one.raw_text[7, 9]
    tab.mouse.move(*at(tab, one, 1, 1))
    assert "filled in from its neighbours" in tab.inner_text("#read")
    # What could not be read is shown with its raw text, as text.
    tab.mouse.move(*at(tab, one, 0, 0))
    assert "no distance could be read" in tab.inner_text("#read")
    assert tab.text_content("#raw") == EVIL
    assert tab.locator("#raw img").count() == 0


def test_two_clicks_measure(opened: tuple[str, Any, list[ShownMap]]) -> None:
    _, tab, (one, two) = opened
    for row, column in ((3, 4), (9, 12)):
        tab.mouse.click(*at(tab, one, row, column))
    apart = np.linalg.norm(one.points_m[3, 4] - one.points_m[9, 12])
    assert f"{apart:.2f} m between A and B" in tab.inner_text("#measure")
    tab.keyboard.press("Escape")
    assert "Click two points" in tab.inner_text("#measure")
    # From one picture to another, the second by keyboard alone.
    tab.mouse.click(*at(tab, one, 3, 4))
    tab.click("#tabs button:nth-child(2)")
    tab.focus("#picture")
    for key in ("ArrowRight", "ArrowDown", "Enter"):
        tab.keyboard.press(key)
    apart = np.linalg.norm(one.points_m[3, 4] - two.points_m[4, 5])
    assert f"{apart:.2f} m between A and B" in tab.inner_text("#measure")


def test_the_cloud_is_drawn_turns_and_can_be_picked(
    opened: tuple[str, Any, list[ShownMap]],
) -> None:
    kind, tab, _ = opened
    cloud = tab.locator("#cloud")
    tab.wait_for_timeout(200)
    before = cloud.screenshot()
    box = cloud.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x + 120, y + 30, steps=3)
    tab.mouse.up()
    tab.mouse.move(1, 1)
    tab.wait_for_timeout(200)
    assert cloud.screenshot() != before
    pixels = """() => { const c = document.getElementById("cloud"), t = document.createElement(
      "canvas"); t.width = c.width; t.height = c.height; const p = t.getContext("2d");
      p.drawImage(c, 0, 0); const d = p.getImageData(0, 0, t.width, t.height).data;
      let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0;
      return n / (d.length / 4); }"""
    assert 0.02 < tab.evaluate(pixels) < 0.95, f"the {kind} cloud covers a part of its canvas"
    tab.click("#reset")
    tab.mouse.move(x, y)
    tab.wait_for_timeout(200)
    assert "from the camera" in tab.inner_text("#read")
    tab.mouse.click(x, y)
    assert "A at" in tab.inner_text("#measure")
    tab.select_option("#color", "interval")
    assert "p90 over p10" in tab.inner_text("#legend")
    tab.click("#spin")
    assert tab.get_attribute("#spin", "aria-pressed") == "true"


def test_a_narrow_screen_shows_everything(opened: tuple[str, Any, list[ShownMap]]) -> None:
    _, tab, _ = opened
    tab.set_viewport_size({"width": 390, "height": 800})
    tab.wait_for_timeout(200)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    picture = tab.locator("#picture").bounding_box()
    cloud = tab.locator("#cloud").bounding_box()
    assert picture["width"] > 330 and cloud["width"] > 330 and cloud["y"] > picture["y"]
