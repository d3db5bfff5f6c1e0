"""The page in a real browser: every tool, a bad file, the keyboard, a narrow screen."""

import io
import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the extra app is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from app_serving import Client, noise
from playwright.sync_api import sync_playwright

from vlm3.assets import load_example
from vlm3.infer.predictor import Predictor
from vlm3.view import View

BROWSER = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (found := shutil.which(name))
    ),
    None,
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
# Nothing but the page may use the network.
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 60_000


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"),
            executable_path=BROWSER,
            headless=True,
            args=ARGUMENTS,
            viewport={"width": 1280, "height": 860},
            accept_downloads=True,
            reduced_motion="reduce",
        )
        yield context
        context.close()


@pytest.fixture
def page(chromium: Any, nano_server: Client) -> Iterator[Any]:
    """The page, opened; at the end nothing may have been complained about or fetched elsewhere."""
    tab = chromium.new_page()
    tab.set_default_timeout(WAIT_MS)
    complaints: list[str] = []
    foreign: list[str] = []
    # What the server refuses the browser notes by itself; those are looked for in the page.
    tab.on(
        "console",
        lambda line: (
            line.type in ("error", "warning")
            and "status of 4" not in line.text
            and complaints.append(line.text)
        ),
    )
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on(
        "request",
        lambda request: (
            request.url.startswith((nano_server.url, "data:", "blob:"))
            or foreign.append(request.url)
        ),
    )
    tab.goto(nano_server.url)
    tab.locator("#model:not([hidden])").wait_for()
    yield tab
    assert complaints == []
    assert foreign == []
    tab.close()


def example(page: Any) -> None:
    page.locator("#try").click()
    page.locator("#work:not([hidden])").wait_for()


def tool(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def click(page: Any, x_part: float, y_part: float) -> None:
    frame = page.locator(".frame").first
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    page.mouse.click(box["x"] + x_part * box["width"], box["y"] + y_part * box["height"])


def answers(page: Any, count: int) -> list[str]:
    """The large words of so many answers, when they are there."""
    page.locator(".answer .big").nth(count - 1).wait_for()
    return list(page.locator(".answer .big").all_inner_texts())


def saved(page: Any, name: str) -> bytes:
    with page.expect_download(timeout=WAIT_MS) as event:
        page.get_by_role("button", name=name, exact=True).click()
    return Path(event.value.path()).read_bytes()


def test_distances(page: Any, nano: Predictor) -> None:
    example(page)
    view, truth = load_example().views[0], load_example()
    click(page, 0.25, 0.5)
    (shown,) = answers(page, 1)
    asked = page.locator(".answer .what").first.inner_text()
    xy = [float(n) for n in re.findall(r"\d+", asked)]
    assert abs(xy[0] - 135) < 3
    assert abs(xy[1] - 180) < 3
    # A named place: the number, the truth, the words, all as the predictor has them.
    page.get_by_role("button", name=truth.point_labels[0], exact=True).click()
    expected = nano.depth(view, truth.points_xy_px[0])
    assert answers(page, 2) == [f"{expected.distance_m[0]:.2f} m", shown]
    card = page.locator(".answer").first
    assert f"Measured here: {truth.points_distance_m[0]:.2f} m" in card.inner_text()
    card.locator("summary").click()
    assert card.locator("dd").all_inner_texts() == [expected.prompt[0], expected.raw_text[0]]
    found = json.loads(saved(page, "Answers, JSON"))
    assert found[1]["points"][0]["distance_m"] == expected.distance_m[0]
    assert Image.open(io.BytesIO(saved(page, "Picture, PNG"))).size == (540, 360)
    # Another field of view: asked again.
    page.locator("input[type=range]").first.fill("100")
    page.get_by_text("as you set it").wait_for()
    wide = View.open(view.image, fov_deg=100)
    again = nano.depth(wide, truth.points_xy_px[0]).distance_m[0]
    page.locator(".answer .big").first.filter(has_text=f"{again:.2f} m").wait_for()
    page.get_by_role("button", name="Clear all").click()
    assert page.locator(".answer").count() == 0


def drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From one part of the picture's width and height to another."""
    frame = page.locator(".frame").first
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    for k, (x, y) in enumerate((start, end)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=3)
        page.mouse.up() if k else page.mouse.down()


def told_m(shown: str) -> float:
    return float(shown.removesuffix(" m"))


def test_a_line_is_measured(page: Any, nano: Predictor) -> None:
    example(page)
    tool(page, "Measure")
    truth = load_example()
    for label in truth.point_labels[:2]:
        page.get_by_role("button", name=label, exact=True).click()
    (shown,) = answers(page, 1)
    length = nano.measure(truth.views[0], truth.points_xy_px[:2]).spans[0].length
    assert told_m(shown) == pytest.approx(length.value_m, abs=0.006)
    low, high = re.findall(r"[\d.]+", page.locator(".answer .muted").first.inner_text())
    assert float(low) == pytest.approx(length.p10_m, abs=0.06, rel=0.05)
    assert float(high) == pytest.approx(length.p90_m, abs=0.06, rel=0.05)
    rays = truth.views[0].camera.unproject(truth.points_xy_px[:2])
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    measured = np.linalg.norm(np.subtract(*(rays * truth.points_distance_m[:2, None])))
    told = page.locator(".measured b").inner_text()
    assert told_m(told) == pytest.approx(measured, abs=0.006)
    # Clicked at both ends, then dragged: the same.
    click(page, 0.2, 0.4)
    click(page, 0.8, 0.6)
    clicked = answers(page, 2)[0]
    drag(page, (0.2, 0.4), (0.8, 0.6))
    assert answers(page, 3)[0] == clicked
    found = json.loads(saved(page, "Answers, JSON"))
    assert [len(one["spans"]) for one in found] == [1, 1, 1]


def test_a_box_is_measured(page: Any, nano: Predictor) -> None:
    example(page)
    tool(page, "Measure")
    page.get_by_role("button", name="A box", exact=True).click()
    page.get_by_role("button", name="armrest", exact=True).click()
    example_ = load_example()
    box = example_.questions[0].boxes_xyxy_px[0]
    (region,) = nano.measure(example_.views[0], boxes_xyxy_px=box).regions
    expected = [region.width.value_m, region.height.value_m, region.distance.value_m]
    assert [told_m(shown) for shown in answers(page, 3)] == pytest.approx(expected, abs=0.006)
    assert "Measured here: 0.93 m wide" in page.locator(".answer").inner_text()
    drag(page, (0.3, 0.3), (0.6, 0.7))
    answers(page, 6)
    page.get_by_role("button", name="Remove box 1").click()
    assert page.locator(".answer").count() == 1
    # By keyboard: two corners, and one taken back.
    page.locator(".frame").first.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    for key in ("ArrowRight", "ArrowDown"):
        for _ in range(4):
            page.keyboard.press(key)
    page.keyboard.press("Enter")
    answers(page, 6)
    page.keyboard.press("Backspace")
    page.locator(".answer").nth(1).wait_for(state="detached")
    page.get_by_role("button", name="A line", exact=True).click()
    page.get_by_role("button", name="door sign", exact=True).wait_for()


def test_objects(page: Any, nano: Predictor) -> None:
    example(page)
    tool(page, "Objects")
    question = load_example().questions[0]
    page.get_by_role("button", name=f"How wide is the {question.labels[0]}?").click()
    (shown,) = answers(page, 1)
    expected = nano.ask(load_example().views[0], question.question, question.boxes_xyxy_px)
    assert shown == f"{expected.value_m:.2f} m"
    frame = page.locator(".frame").first.bounding_box()
    page.mouse.move(frame["x"] + 300, frame["y"] + 60)
    page.mouse.down()
    page.mouse.move(frame["x"] + 420, frame["y"] + 200, steps=3)
    page.mouse.up()
    # Only the second box is named: it is the first of that question.
    page.get_by_label("Question, with").fill("How wide is {1}?")
    page.get_by_role("button", name="Ask", exact=True).click()
    answers(page, 2)
    assert "How wide is region 0?" in page.locator(".answer dd").first.text_content()
    page.get_by_label("Question, with").fill("How wide is {7}?")
    page.get_by_role("button", name="Ask", exact=True).click()
    assert "there is no box 7" in page.get_by_role("alert").inner_text()


def test_match_and_motion(page: Any, nano: Predictor) -> None:
    example(page)
    tool(page, "Match")
    truth = load_example()
    page.get_by_role("button", name=truth.match_labels[0], exact=True).click()
    (shown,) = answers(page, 1)
    xy_px = nano.match(*truth.views, truth.matches_xy_1_px[0]).xy_px[0]
    # A half is rounded one way in the browser and another here.
    assert [float(n) for n in shown.split(", ")] == pytest.approx(xy_px, abs=0.51)
    tool(page, "Motion")
    page.get_by_role("button", name="Ask", exact=True).click()
    turned, moved = answers(page, 2)
    pose = nano.pose(*truth.views)
    assert pose.yaw_pitch_roll_deg is not None
    assert turned.startswith(f"{abs(pose.yaw_pitch_roll_deg[0]):.1f}° ")
    assert moved.startswith(f"{pose.distance_m:.2f} m ")
    assert page.locator("canvas.space").is_visible()


def test_cloud(page: Any) -> None:
    example(page)
    tool(page, "Cloud")
    page.get_by_role("combobox", name="Grid").select_option("32")
    page.get_by_role("button", name="Build the cloud").click()
    canvas = page.locator("canvas.space")
    canvas.wait_for()
    before = canvas.screenshot()
    assert len(np.unique(np.array(Image.open(io.BytesIO(before)).convert("L")))) > 100
    canvas.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert canvas.screenshot() != before
    page.get_by_role("combobox", name="Colour").select_option("distance")
    page.locator(".legend").wait_for()
    ply = saved(page, "PLY")
    assert b"element vertex 672\n" in ply  # 32 x 21
    assert saved(page, "GLB")[:4] == b"glTF"


def test_a_file_of_ones_own(page: Any, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 28
    exif[0x0112] = 6  # Stored lying, shown upright.
    photo = tmp_path / "holiday.jpg"
    Image.fromarray(noise(1, 320, 240)).resize((320, 240)).save(photo, exif=exif)
    page.locator("#file").set_input_files(photo)
    page.locator("#work:not([hidden])").wait_for()
    caption = page.locator(".caption").first.inner_text()
    assert "holiday.jpg" in caption
    assert "240 × 320 px" in caption
    assert "from EXIF" in caption
    click(page, 0.5, 0.5)
    assert answers(page, 1)[0].endswith(" m")


def test_a_bad_file_is_told_in_words(page: Any, tmp_path: Path) -> None:
    bad = tmp_path / "notes.jpg"
    bad.write_text("these are my notes")
    page.locator("#file").set_input_files(bad)
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "notes.jpg: the picture is not a picture that can be read" in alert.inner_text()
    assert page.locator("#start").is_visible()
    alert.get_by_role("button").click()
    assert not alert.is_visible()
    # It goes on from there.
    example(page)
    click(page, 0.5, 0.5)
    answers(page, 1)


def test_a_folder_to_choose_from(page: Any) -> None:
    folder = page.locator("#folder")
    names = folder.locator("button span")
    names.nth(2).wait_for()
    assert names.all_inner_texts() == ["day 1.jpg", "day 2.png", "notes.jpg"]
    page.locator("#folder li:nth-child(2) img[src^='blob:']").wait_for()
    first = page.locator("#folder img").first
    assert first.evaluate("n => [n.naturalWidth, n.naturalHeight]") == [240, 320]
    folder.get_by_role("button", name="notes.jpg").click()
    page.get_by_role("alert").wait_for()
    assert "notes.jpg: the picture is not a picture" in page.get_by_role("alert").inner_text()
    folder.get_by_role("button", name="day 1.jpg").click()
    page.locator("#work:not([hidden])").wait_for()
    page.locator(".caption").get_by_text("480 × 640 px").wait_for()
    click(page, 0.5, 0.5)
    answers(page, 1)
    # In a tool for two pictures it is the second one.
    tool(page, "Match")
    folder.get_by_role("button", name="day 2.png").click()
    page.locator(".caption").nth(1).get_by_text("day 2.png").wait_for()
    assert "day 1.jpg" in page.locator(".caption").first.inner_text()


def test_by_keyboard_alone(page: Any) -> None:
    def tab_to(wanted: str, key: str = "Tab", most: int = 12) -> None:
        for _ in range(most):
            page.keyboard.press(key)
            if page.locator(f"{wanted}:focus").count():
                return
        raise AssertionError(f"{wanted} cannot be reached")

    tab_to("#try")
    page.keyboard.press("Enter")
    page.locator(".frame:focus").wait_for()
    tab_to("#tool-distance", "Shift+Tab")
    page.keyboard.press("ArrowRight")
    assert page.locator("#tool-measure:focus").count() == 1
    page.keyboard.press("ArrowLeft")
    tab_to(".frame")
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    answers(page, 1)
    # Five steps of a fiftieth of the width from the middle; the picture keeps the focus.
    assert "216, 180" in page.locator(".answer .what").inner_text()
    assert page.locator("#live").inner_text().startswith("Point 1: ")
    page.keyboard.press("Backspace")
    page.locator(".answer").wait_for(state="detached")


def test_names_for_everything(page: Any) -> None:
    """What a screen reader is told: no control without a name, in any tool."""
    example(page)
    for name in ("Distance", "Measure", "Objects", "Match", "Motion", "Cloud"):
        tool(page, name)
        for node in page.locator("button, input, select, textarea, [tabindex='0']").all():
            if node.is_visible():
                words = node.evaluate(
                    "n => n.getAttribute('aria-label') || n.innerText || n.labels?.[0]?.innerText"
                )
                assert words, node.evaluate("n => n.outerHTML")
        images = page.locator("img:visible:not([alt])")
        assert images.count() == 0


def test_a_narrow_screen(page: Any) -> None:
    for width in (320, 390):
        page.set_viewport_size({"width": width, "height": 844})
        if page.locator("#start").is_visible():
            example(page)
        for name in ("Distance", "Measure", "Objects", "Match", "Motion", "Cloud"):
            tool(page, name)
            assert page.locator("html").evaluate("n => n.scrollWidth") <= width, name
        # No tool lies off the screen, whichever is chosen.
        for tab in page.get_by_role("tab").all():
            box = tab.bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= width, tab.inner_text()
    tool(page, "Distance")
    click(page, 0.5, 0.5)
    answers(page, 1)
    page.set_viewport_size({"width": 1280, "height": 860})


def test_by_touch(chromium: Any, page: Any) -> None:
    """Lines and boxes under a finger: it draws, and does not move the page."""
    page.set_viewport_size({"width": 390, "height": 844})
    example(page)
    tool(page, "Measure")
    session = chromium.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        box = page.locator(".frame").first.bounding_box()
        at = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
              for x, y in points]  # fmt: skip
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    def drawn() -> None:
        touch("touchStart", (0.2, 0.3))
        for step in range(1, 6):
            touch("touchMove", (0.2 + 0.1 * step, 0.3 + 0.1 * step))
        touch("touchEnd")

    page.locator(".frame").first.scroll_into_view_if_needed()
    before = page.evaluate("scrollY")
    drawn()
    answers(page, 1)
    page.get_by_role("button", name="A box", exact=True).click()
    page.locator(".frame").first.scroll_into_view_if_needed()
    before = page.evaluate("scrollY")
    drawn()
    answers(page, 4)
    assert page.evaluate("scrollY") == before
    page.set_viewport_size({"width": 1280, "height": 860})


def test_a_busy_server_is_waited_for(page: Any, nano_server: Client) -> None:
    example(page)
    refusals = []

    def once(route: Any) -> None:
        if refusals:
            route.continue_()
            return
        refusals.append(time.monotonic())
        error = {"error": {"message": "busy", "type": "rate_limit_error"}}
        route.fulfill(status=429, headers={"Retry-After": "1"}, json=error)

    page.route("**/v1/depth", once)
    click(page, 0.5, 0.5)
    answers(page, 1)
    assert time.monotonic() - refusals[0] >= 1
