"""The page in Chromium: it renders and works, by the keyboard alone too, in light and dark, wide and narrow."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from circuitcheck.report.claims import Claim, ClaimCollector
from circuitcheck.report.page.page import page
from tests.browser import browser, file_url, why_none
from tests.conftest import each
from tests.some_claims import checkpoints, claims, effect

pytestmark = pytest.mark.skipif(bool(why_none()), reason=why_none())

Open = Callable[..., Any]
_OTHERS = {
    "unrefuted": "passed",
    "inconclusive": "failed",
    "refuted": "xfailed",
}
# What is seen behind an element's text, and the contrast between them as WCAG 2 defines it.
_CONTRAST = """
const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
const light = (rgb) => rgb.slice(0, 3).map((c) => c / 255)
  .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
const ground = (element) => {
  for (let one = element; one; one = one.parentElement) {
    const found = parts(getComputedStyle(one).backgroundColor);
    if (found.length < 4 || found[3] > 0) return found;
  }
  return [255, 255, 255];
};
return [...document.querySelectorAll(arguments[0])].map((element) => {
  const [ink, under] = [light(parts(getComputedStyle(element, arguments[1] || null).color)), light(ground(element))];
  return (Math.max(ink, under) + 0.05) / (Math.min(ink, under) + 0.05);
});
"""
_READ = (
    "h1", ".when", ".count", ".badge", "dt", "dd", ".name", ".sure", ".unit", ".note", ".title button", "mark", ".pairs i", "code",
    "pre", ".legend span", "thead button", ".states label", "figcaption", "footer p", ".detail a", ".matrix a", ".quiet", "caption",
)  # fmt: skip


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with browser() as driver:
        yield driver


@pytest.fixture
def opened(driver: Any, tmp_path: Path) -> Open:
    """Opens a page of claims in the browser, in light colours and wide unless something else is said."""

    def opened(made: list[Claim], anchor: str = "", scheme: str = "light", width: int = 1400) -> Any:
        collector = ClaimCollector()
        collector.claims = {claim.nodeid: claim for claim in made}
        settings = {"seed": "0", "alpha": "0.05", "budget": "1024", "bound": "2"}
        path = tmp_path / "page.html"
        path.write_text(page(made, collector.models(), settings, datetime(2026, 1, 1, tzinfo=UTC)), encoding="utf-8")
        size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        driver.get_log("browser"), driver.get_log("performance")
        driver.get("about:blank")
        driver.get(file_url(path) + anchor)
        return driver

    return opened


def many_kinds() -> list[Claim]:
    """Claims with every verdict, about several models."""
    draw = random.Random(2)
    made = claims(40) + checkpoints(2, [500, 2000])
    for verdict, outcome in _OTHERS.items():
        found = [effect(draw, verdict)]
        made.append(
            replace(made[0], nodeid=f"hypotheses/test_other.py::test_{verdict}", outcome=outcome, effects=found)
        )
    made.append(
        replace(
            made[0],
            nodeid="hypotheses/test_other.py::test_broken",
            outcome="failed",
            problem="no such neuron",
            effects=[],
        )
    )
    made.append(
        replace(
            made[0], nodeid="hypotheses/test_other.py::test_skipped", outcome="skipped", problem="not today", effects=[]
        )
    )
    return made


def shown(driver: Any) -> list[str]:
    """The claims that are seen, in order, by their tests' names."""
    names = driver.execute_script(
        "return [...document.querySelectorAll('#claims > tbody:not([hidden]) .title .name')].map(one => one.textContent)"
    )
    return [name.split(" · ")[1] for name in names]


def wait(driver: Any) -> None:
    """Until the page has gone to its anchor."""
    driver.execute_async_script("setTimeout(arguments[0], 300)")


def press(driver: Any, *keys: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(driver).send_keys(*keys).perform()


def test_it_renders_says_nothing_on_the_console_and_requests_nothing(opened: Open) -> None:
    driver = opened(many_kinds())
    driver.find_element("id", "all").click()
    assert driver.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert {url.partition(":")[0] for url in asked} <= {"file", "about", "data"}
    assert sum(url.startswith("file:") for url in asked) == 1
    strips = driver.execute_script(
        "return [...document.querySelectorAll('.forest')].map(one => one.getBoundingClientRect().width)"
    )
    assert len(strips) == 47
    assert min(strips) > 200


def test_claims_are_found_by_words_verdict_model_and_file(opened: Open) -> None:
    from selenium.webdriver.support.ui import Select

    driver = opened(many_kinds())
    count, words = (driver.find_element("id", name) for name in ("count", "words"))
    assert count.text == "49 claims"
    words.send_keys("number_3")
    assert set(shown(driver)) == {f"test_claim_number_{n}" for n in (3, *range(30, 40))}
    assert count.text == "11 of 49 claims"
    words.send_keys(" nothing like it")
    assert count.text == "0 of 49 claims"
    driver.find_element("id", "again").click()
    assert count.text == "49 claims"
    Select(driver.find_element("id", "file")).select_by_visible_text("hypotheses/test_other.py")
    assert len(shown(driver)) == 5
    driver.find_element("css selector", "label[data-state='refuted, as expected']").click()
    assert shown(driver) == ["test_refuted"]
    driver.find_element("css selector", "label[data-state=skipped]").click()
    assert shown(driver) == ["test_refuted", "test_skipped"]
    driver.find_element("id", "clear").click()
    Select(driver.find_element("id", "model")).select_by_visible_text("step500")
    assert count.text == "2 of 49 claims"


def test_claims_are_sorted_shares_before_other_units(opened: Open) -> None:
    draw = random.Random(3)
    estimates = {
        "a": ("gap", 0.3),
        "b": ("gap", 0.9),
        "c": ("logits", 21.0),
        "d": ("gap", -0.2),
        "e": ("behaviour", 0.5),
    }
    made = []
    for name, (unit, estimate) in estimates.items():
        found = effect(draw) | {
            "unit": unit,
            "estimate": estimate,
            "low": None,
            "high": None,
            "n": int(abs(10 * estimate)),
        }
        made.append(
            replace(
                claims(1)[0],
                nodeid=f"t.py::{name}",
                words=f"{name} claim",
                effects=[found | {"threshold": 0.4}],
                line=5,
            )
        )
    made.append(replace(made[0], nodeid="t.py::f", effects=[], outcome="passed"))
    driver = opened(made)
    head = {
        name: driver.find_element("css selector", f"th[data-key={name}]")
        for name in ("effect", "distance", "n", "title")
    }
    head["effect"].find_element("tag name", "button").click()
    assert shown(driver) == ["b", "e", "a", "d", "c", "f"]
    assert head["effect"].get_attribute("aria-sort") == "descending"
    head["effect"].find_element("tag name", "button").click()
    assert shown(driver) == ["d", "a", "e", "b", "c", "f"]
    assert head["effect"].get_attribute("aria-sort") == "ascending"
    head["distance"].find_element("tag name", "button").click()
    assert shown(driver) == ["d", "a", "e", "b", "c", "f"]
    assert [one.get_attribute("aria-sort") for one in head.values()] == [None, "ascending", None, None]
    head["n"].find_element("tag name", "button").click()
    assert shown(driver) == ["c", "b", "e", "a", "d", "f"]
    head["title"].find_element("tag name", "button").click()
    assert shown(driver) == ["a", "f", "b", "c", "d", "e"]


def test_it_works_by_the_keyboard_alone(opened: Open) -> None:
    from selenium.webdriver.common.keys import Keys

    driver = opened(claims(30))
    focused = lambda: driver.switch_to.active_element  # noqa: E731
    press(driver, Keys.TAB)
    assert focused().text == "Skip to the claims"
    press(driver, Keys.ENTER, Keys.TAB)
    assert focused().get_attribute("id") == "words"
    press(driver, *"number_2")
    assert len(shown(driver)) == 11
    press(driver, Keys.TAB, Keys.TAB)
    assert focused().get_attribute("type") == "checkbox"
    press(driver, Keys.SPACE)
    assert len(shown(driver)) < 11
    ring = driver.execute_script("return getComputedStyle(arguments[0].parentElement).outlineStyle", focused())
    assert ring == "solid"
    while focused().text != "verdict":
        press(driver, Keys.TAB)
    press(driver, Keys.TAB, Keys.ENTER)
    assert driver.find_element("css selector", "[aria-sort]").text == "claim"
    names = shown(driver)
    assert names == sorted(names)
    while "Neuron" not in focused().text:
        press(driver, Keys.TAB)
    claim = focused()
    assert driver.execute_script("return getComputedStyle(arguments[0]).outlineStyle", claim) == "solid"
    more = driver.find_element("id", claim.get_attribute("aria-controls"))
    assert not more.is_displayed()
    press(driver, Keys.ENTER)
    assert claim.get_attribute("aria-expanded") == "true"
    assert more.is_displayed()
    press(driver, Keys.SPACE)
    assert not more.is_displayed()


def test_a_link_opens_its_claim_whatever_is_filtered(opened: Open) -> None:
    made = claims(60)
    driver = opened(made)
    anchors = driver.execute_script("return [...document.querySelectorAll('#claims > tbody')].map(one => one.id)")
    driver = opened(made, f"#{anchors[50]}")
    body = driver.find_element("id", anchors[50])
    assert body.find_element("css selector", ".more").is_displayed()
    wait(driver)
    assert driver.switch_to.active_element == body.find_element("tag name", "button")
    driver.find_element("id", "words").send_keys("nothing like it")
    driver.execute_script(f"location.hash = '{anchors[10]}'")
    assert driver.find_element("id", anchors[10]).find_element("css selector", ".more").is_displayed()
    assert driver.find_element("id", "count").text == "60 claims"
    wait(driver)
    top = driver.execute_script(
        "return arguments[0].getBoundingClientRect().top", driver.find_element("id", anchors[10])
    )
    assert 0 <= top < 200


def test_a_prompt_with_a_script_in_it_stays_text(opened: Open) -> None:
    script = "<script>alert(1)</script>"
    pair = {"value": 1.0, "clean": [[script, "noun"]], "corrupt": [["b", "noun"]], "answer": [script], "foil": []}
    found = effect(random.Random(0)) | {"lowest": [pair], "highest": [], "fillers": {"noun": {script: 1.0, "b": 0.5}}}
    driver = opened([replace(claims(1)[0], words=script, effects=[found])])
    driver.find_element("css selector", "tbody .title button").click()
    assert driver.find_element("css selector", "tbody .title button").text == script
    assert driver.find_element("css selector", "mark").text == f"{script} → b"
    assert driver.find_element("css selector", ".fillers th").text == script
    assert driver.execute_script("return document.scripts.length") == 1
    assert driver.get_log("browser") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(opened: Open, scheme: str) -> None:
    driver = opened(many_kinds(), scheme=scheme)
    driver.find_element("id", "all").click()
    for selector in _READ:
        found = driver.execute_script(_CONTRAST, selector)
        assert found, selector
        assert min(found) >= 4.5, (selector, min(found))
    assert min(driver.execute_script(_CONTRAST, "mark", "::after")) >= 4.5
    ground = driver.execute_script("return getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) > 384) == (scheme == "light")


def test_colours_can_be_chosen_whatever_the_system_says(opened: Open) -> None:
    driver = opened(claims(1), scheme="dark")
    ground = "return getComputedStyle(document.documentElement).backgroundColor"
    dark, button = driver.execute_script(ground), driver.find_element("id", "theme")
    assert button.text == "Light colours"
    button.click()
    assert button.text == "Dark colours"
    light = driver.execute_script(ground)
    assert light != dark
    assert opened(claims(1), scheme="light").execute_script(ground) == light


@pytest.mark.parametrize("width", each([360, 800, 1400], (360,)))
def test_nothing_sticks_out(opened: Open, width: int) -> None:
    made = many_kinds()
    made[0] = replace(made[0], problem="x" * 300, words="w" * 200, nodeid=f"hypotheses/{'f' * 90}.py::test_{'n' * 90}")
    driver = opened(made, width=width)
    driver.find_element("id", "all").click()
    wide = (
        "return [...document.querySelectorAll('main *')].filter(one => one.getBoundingClientRect().right > innerWidth + 1 "
        "&& !one.closest('.wide, .sweep, .unseen')).map(one => one.outerHTML.slice(0, 80))"
    )
    assert driver.execute_script(wide) == []
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width


def test_every_control_has_a_name_and_every_table_its_roles(opened: Open) -> None:
    driver = opened(many_kinds())
    driver.find_element("css selector", "tbody .title button").click()
    nodes = driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    named = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"] and "role" in node
    ]
    roles = {role for role, _ in named}
    assert roles >= {"banner", "main", "contentinfo", "search", "table", "columnheader", "rowheader", "status", "image"}
    for role, name in named:
        if role in (
            "button",
            "checkbox",
            "searchbox",
            "combobox",
            "link",
            "image",
            "rowheader",
            "columnheader",
            "region",
        ):
            assert name.strip(), (role, name)
    assert ("button", "verdict") in named
    assert ("checkbox", "refuted 18") in named or any(role == "checkbox" and "refuted" in name for role, name in named)


def test_without_scripts_all_is_there(opened: Open, driver: Any) -> None:
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        opened(claims(3))
        assert driver.find_element("css selector", ".more").is_displayed()
        assert not driver.find_element("id", "filters").is_displayed()
        assert not driver.find_element("id", "theme").is_displayed()
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_the_graph_of_a_circuit_has_the_colours_of_the_page(opened: Open) -> None:
    base = effect(random.Random(0))
    circuit = base["method"] | {"verb": "keep", "component": "L0.H2 -> L1.H1.V | L1.H1 -> LOGITS"}
    made = [replace(claims(1)[0], effects=[base | {"method": circuit}])]
    seen = []
    for scheme in ("light", "dark"):
        driver = opened(made, scheme=scheme)
        driver.find_element("id", "all").click()
        assert driver.get_log("browser") == []
        seen.append(
            driver.execute_script(
                "return ['.node', '.word', 'path'].map(one => getComputedStyle(document.querySelector('.graph ' + one)))"
                ".flatMap(one => [one.fill, one.stroke])"
            )
        )
        [width] = driver.execute_script(
            "return [...document.querySelectorAll('.graph')].map(one => one.getBoundingClientRect().width)"
        )
        assert width > 200
    assert all(light != dark for light, dark in zip(*seen, strict=True) if light != "none")
