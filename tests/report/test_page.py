"""The page of --circuit-html: what is on it, that nothing of a user's text is anything but text, and that nothing else loads."""

import base64
import hashlib
import json
import random
import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from circuitcheck import Model, PromptPairs
from circuitcheck.claims.measuring.pair_previews import shown_pairs
from circuitcheck.report import reporter
from circuitcheck.report.claims import Claim
from tests.conftest import Claims
from tests.report.page_reading import one_claim, page_of, places, read
from tests.some_claims import MODEL, checkpoints, claims, effect

NASTY = """<script>alert(1)</script>'"><img src=x onerror=alert(2)>&amp;{{ 7*7 }}"""
_BY_HAND = """
def test_supported(model):
    '''All of the stream restores all of the gap.

    More words.
    '''
    model.on(FRUIT).sweep("L*.RESID_PRE@*")
    model.on(FRUIT).sweep("L1.N*")
    assert model.on(FRUIT).patch(ALL) > 0.5

def test_every_pair(model):
    assert model.on(FRUIT).patch("L1.N8").each > 0.55

@pytest.mark.xfail(raises=ClaimRefuted, strict=True)
def test_believed(model):
    assert model.on(FRUIT).patch(NONE) > 0.5

def test_broken(model):
    assert model.on(FRUIT).patch("L9.H9") > 0.5

def test_odd(model):
    "\\ud800 half a character"
    rows = [{"clean": "I climbed up the apple tree \\x07\\x00 <script>alert(1)</script> and picked", "answer": " an", "foil": " a",
             "corrupt": "I climbed up the lemon tree \\x07\\x00 <script>alert(1)</script> and picked"}]
    assert model.on(PromptPairs.from_rows(rows)).patch(ALL) > 0.5

@pytest.mark.skip(reason="not today")
def test_skipped(model):
    assert model.on(FRUIT).patch(ALL) > 0.5
"""


def test_the_policy_lets_only_the_pages_own_style_and_script_through() -> None:
    root = read(page_of(claims(3)))
    [policy] = root.all("meta", http_equiv="Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.attributes["content"].split(";"))
    hashes = {
        tag: f"'sha256-{base64.b64encode(hashlib.sha256(root.all(tag)[0].text.encode()).digest()).decode()}'"
        for tag in ("style", "script")
    }
    assert len(root.all("style")) == len(root.all("script")) == 1
    assert rules == {
        "default-src": "'none'",
        "style-src": hashes["style"],
        "script-src": hashes["script"],
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_nothing_is_loaded_and_no_attribute_is_a_style_or_a_script() -> None:
    root = read(page_of([*claims(3), *checkpoints(2, [1, 2])]))
    for element in root.inside():
        assert not [name for name in element.attributes if name == "style" or name.startswith("on")], element.tag
        for link in (element.attributes.get("href", "#"), element.attributes.get("src", "#")):
            assert link.startswith("#") or link == "data:,", link
    assert "http" not in root.all("style")[0].text + root.all("script")[0].text
    assert "url(" not in root.all("style")[0].text


def test_what_refers_to_something_finds_it_and_every_control_has_a_label() -> None:
    root = read(page_of([*claims(30), *checkpoints(2, [1, 2])]))
    ids = [element.attributes["id"] for element in root.inside() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    for element in root.inside():
        for name in ("aria-labelledby", "aria-describedby", "aria-controls", "for"):
            assert set(element.attributes.get(name, "").split()) <= set(ids)
        if element.attributes.get("href", "#") != "#" and element.tag == "a":
            assert element.attributes["href"][1:] in ids
    labels = {label.attributes.get("for") for label in root.all("label")}
    for control in [*root.all("input"), *root.all("select")]:
        inside_a_label = any(control in label.all(control.tag) for label in root.all("label"))
        assert control.attributes.get("id") in labels or inside_a_label
    assert all(
        button.text.strip()
        for button in root.all("button")
        if button.attributes["id" if "id" in button.attributes else "type"] != "theme"
    )
    assert all(picture.attributes.get("aria-label") or picture.attributes["aria-hidden"] for picture in root.all("svg"))


@pytest.mark.parametrize(
    "claim",
    [
        one_claim(words=NASTY),
        one_claim(nodeid=f"hypotheses/{NASTY}.py::test_{NASTY}"),
        one_claim(problem=NASTY, outcome="failed", effects=[]),
        one_claim(model={**MODEL, "name": NASTY, "engine": NASTY}),
        one_claim(mutants={"neighbour": NASTY}),
        one_claim(sweeps=[{"title": NASTY, "sites": [NASTY], "top": [0.5]}]),
        one_claim(sweeps=[{"title": "t", "sites": ["a"], "top": [1.0], "dims": [NASTY, "p"], "coords": [[NASTY], ["b"]], "values": [[1.0]]}]),
        one_claim(effects=[effect(random.Random(0)) | {"label": NASTY, "population": NASTY, "notes": [NASTY]}]),
        one_claim(effects=[effect(random.Random(0)) | {"fillers": {NASTY: {NASTY: 0.5, "b": 1.0}}}]),
        one_claim(effects=[effect(random.Random(0)) | {
            "lowest": [{"value": 1.0, "clean": [[NASTY, NASTY]], "corrupt": [["b", NASTY]], "answer": [NASTY], "foil": [7]}]}]),
        one_claim(effects=[effect(random.Random(0)) | {
            "lowest": [{"value": 1.0, "clean": [[NASTY, ""]], "corrupt": [["b", NASTY]], "answer": [NASTY], "foil": []}]}]),
    ],
)  # fmt: skip
def test_a_users_text_stays_text(claim: Claim) -> None:
    text = page_of([claim])
    root = read(text)
    assert len(root.all("script")) == 1
    assert not root.all("img")
    assert NASTY in root.text or NASTY.replace("'", "\\'") in root.text or repr(NASTY) in root.text


def test_characters_that_nobody_sees_are_written_out() -> None:
    pair = {
        "value": 1.0,
        "clean": [["a \x00\x07\x1b[31m \ud800 \x85", "x"]],
        "corrupt": [["b", "x"]],
        "answer": [" an"],
        "foil": [],
    }
    made = one_claim(
        words="bell \x07 and \udfff", effects=[effect(random.Random(0)) | {"label": "L\x00", "lowest": [pair]}]
    )
    text = page_of([made])
    text.encode()
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", text)
    root = read(text)
    assert r"bell \x07 and \udfff" in root.text
    assert r"a \x00\x07\x1b[31m \ud800 \x85" in root.all("mark")[0].text


def test_the_page_is_the_same_for_the_same_claims_but_for_its_date() -> None:
    made = claims(6) + checkpoints(2, [1, 2])
    text = page_of(made)
    assert text == page_of(list(reversed(made)))
    other = page_of(made, datetime(2027, 5, 6, tzinfo=UTC))
    differing = [line for line, now in zip(text.splitlines(), other.splitlines(), strict=True) if line != now]
    assert len(differing) == 1
    assert "<time" in differing[0]


def test_an_anchor_belongs_to_its_test() -> None:
    few, more = (read(page_of(claims(count))) for count in (3, 5))
    ids = [[body.attributes["id"] for body in root.all("tbody", role="rowgroup")] for root in (few, more)]
    assert set(ids[0]) < set(ids[1])
    assert all(re.fullmatch(r"[A-Za-z0-9-]+", one) for one in ids[1])


def test_a_spread_keeps_its_ends_and_pairs_their_texts(bundled: Model, fruit: PromptPairs) -> None:
    measured = bundled.on(fruit).patch("L1.N8").measure()
    found = shown_pairs(measured.pairs, measured.per_pair)
    assert found["spread"] == pytest.approx(np.sort(measured.per_pair), rel=1e-3)
    assert [one["value"] for one in found["lowest"]] == found["spread"][:3]
    assert [one["value"] for one in found["highest"]] == found["spread"][:-4:-1]
    worst = measured.pairs[int(np.argmin(measured.per_pair))].pair
    assert "".join(text for text, _ in found["lowest"][0]["clean"]) == worst.clean.text
    assert {slot: text for text, slot in found["lowest"][0]["corrupt"] if slot}["fruit"] in ("lemon", "banana", "peach")
    many = shown_pairs(measured.pairs * 50, np.tile(measured.per_pair, 50))
    assert len(many["spread"]) == 200
    assert (many["spread"][0], many["spread"][-1]) == (found["spread"][0], found["spread"][-1])
    assert len(shown_pairs(measured.pairs[:4], measured.per_pair[:4])["highest"]) == 1


def test_models_are_beside_each_other_by_their_step() -> None:
    root = read(page_of(checkpoints(3, [2000, 500, 8000])))
    matrix = root.all("table", class_="matrix")[-1]
    assert [head.text for head in matrix.all("th", scope="col")] == ["claim", "step500", "step2000", "step8000"]
    signs = [[cell.all("span", class_="sign")[0].text for cell in row.all("td")] for row in matrix.all("tr")[1:]]
    assert signs == [["✓", "✓", "✓"], ["✕", "✓", "✓"], ["✕", "✕", "✓"]]
    plots = root.all("svg", class_="steps")
    assert len(plots) == 3
    way = places(plots[0], "way")[0]
    assert (way[2][0] - way[1][0]) / (way[1][0] - way[0][0]) == pytest.approx(4, rel=0.02)  # 500, 2000, 8000
    assert "500: 0." in plots[0].attributes["aria-label"]


def test_one_model_is_compared_with_none() -> None:
    assert "Models beside each other" not in read(page_of(claims(3))).text


def test_no_claims_make_a_page_too() -> None:
    assert read(page_of([])).all("h1")[0].text == "No claim was made"


def test_numbers_that_are_none_are_left_out() -> None:
    found = effect(random.Random(0)) | {"estimate": None, "low": None, "high": None, "spread": []}
    [body] = read(page_of([one_claim(effects=[found])])).all("tbody", role="rowgroup")
    assert body.attributes["data-effect"] == body.attributes["data-distance"] == ""
    assert not re.search(r"\b(nan|inf)\b", body.text)
    assert not body.all("svg", class_="forest")[0].all("path", class_="estimate")


def test_the_page_of_a_run(claims: Claims, pytester: pytest.Pytester) -> None:
    path, junit = Path(pytester.path, "out", "deep", "page.html"), Path(pytester.path, "junit.xml")
    result = claims(_BY_HAND, f"--circuit-html={path}", f"--junit-xml={junit}")
    result.assert_outcomes(passed=2, failed=2, xfailed=1, skipped=1)
    assert list(path.parent.iterdir()) == [path]
    root = read(path.read_text(encoding="utf-8"))
    rows = {re.search(r"test_\w+", body.text.split("·")[1])[0]: body for body in root.all("tbody", role="rowgroup")}  # type: ignore[index]
    states = {name: body.attributes["data-state"] for name, body in rows.items()}
    assert states == {
        "test_every_pair": "refuted",
        "test_broken": "undecided",
        "test_supported": "supported",
        "test_believed": "refuted, as expected",
        "test_odd": "supported",
        "test_skipped": "skipped",
    }
    assert list(states) == [
        "test_every_pair",
        "test_broken",
        "test_supported",
        "test_believed",
        "test_odd",
        "test_skipped",
    ]
    assert root.all("h1")[0].text == "2 of 5 claims fail"
    supported = rows["test_supported"]
    assert "More words." in supported.text
    assert "rank" not in supported.text
    assert len(supported.all("figure", class_="sweep")) == 2
    cells = supported.all("figure", class_="sweep")[0].all("title")
    assert any(cell.text == "L0 @{fruit}: 1" for cell in cells)
    marks = [(mark.attributes["data-slot"], mark.text) for mark in supported.all("mark")]
    assert ("tree", "pear") in marks
    assert any(slot == "fruit" and re.fullmatch(r"(apple|olive) → (lemon|peach)", text) for slot, text in marks)
    assert supported.all("svg", class_="plot")[0].attributes["aria-label"].startswith("Distribution over 8 pairs")
    fields = {
        item.all("dt")[0].text: item.all("dd")[0].text for item in supported.all("dl", class_="method")[0].all("div")
    }
    assert fields["direction"] == "denoising"
    assert fields["readout"] == "answer - foil logit difference, last position"
    every = rows["test_every_pair"]
    assert "Counterexample, whatever stands in {tree}" in every.text
    assert any(block.text.startswith("PromptPairs.from_rows([{'clean': ") for block in every.all("pre"))
    assert "AddressError: bundled has layers 0-2" in rows["test_broken"].text
    assert "not today" in rows["test_skipped"].text
    assert "\\ud800 half a character" in rows["test_odd"].text
    assert r"\x07\x00 <script>alert(1)</script>" in rows["test_odd"].text
    properties = {p.attrib["name"]: p.attrib["value"] for p in ET.parse(junit).iter("property")}
    assert json.loads(properties["circuit.0.spread(json)"])


def test_a_run_without_a_page_gathers_nothing_for_one(claims: Claims, pytester: pytest.Pytester) -> None:
    junit = Path(pytester.path, "junit.xml")
    claims(
        "def test_it(model):\n    model.on(FRUIT).sweep('L1.N*')\n    assert model.on(FRUIT).patch(ALL) > 0.5",
        f"--junit-xml={junit}",
    )
    names = {p.attrib["name"] for p in ET.parse(junit).iter("property")}
    assert "circuit.0.estimate" in names
    assert not {name for name in names if "spread" in name or "lowest" in name or "sweeps" in name}


def test_the_json_report_has_what_the_page_shows(claims: Claims, pytester: pytest.Pytester) -> None:
    path = Path(pytester.path, "claims.json")
    claims(_BY_HAND, f"--circuit-json={path}")
    found = {claim["nodeid"].rpartition("::")[2]: claim for claim in json.loads(path.read_text())["claims"]}
    [one] = found["test_supported"]["effects"]
    assert len(one["spread"]) == 8
    assert one["lowest"][0]["clean"][1] == [one["lowest"][0]["clean"][1][0], "tree"]
    assert [sweep["sites"][0] for sweep in found["test_supported"]["sweeps"]] == ["L1.RESID_PRE@end", "L1.N8"]
    [searched] = [each["searched"] for each in found["test_every_pair"]["effects"]]
    assert searched["free"] == ["tree"]
    assert "".join(text for text, _ in searched["pair"]["clean"]) == searched["clean"]


def test_a_page_that_cannot_be_written_is_a_usage_error(
    claims: Claims, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = claims("def test_it(model):\n    pass", f"--circuit-html={tmp_path}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--circuit-html=* is a folder; name a file*"])
    monkeypatch.setattr(reporter, "find_spec", lambda name: None)
    result = claims("def test_it(model):\n    pass", f"--circuit-html={tmp_path / 'page.html'}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--circuit-html needs jinja2 and matplotlib: pip install 'circuitcheck[[]html[]]'"])
