"""The README and the manual: they build without a warning, their links lead somewhere, and their examples give what they say."""

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from doctest import ELLIPSIS
from pathlib import Path

import pytest
from sybil import Document, Region, Sybil
from sybil.evaluators.doctest import NUMBER, DocTestEvaluator
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.abstract import DocTestStringParser
from sybil.parsers.myst import CodeBlockParser, SkipParser

import circuitcheck
from circuitcheck import Model
from tools.docstrings import described

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"

pytestmark = pytest.mark.skipif(not DOCS.exists(), reason="the package is installed without its docs")


def test_the_manual_builds_without_a_warning(tmp_path: Path) -> None:
    """Links to pages and headings, pictures and tables of contents among what is warned of. Nothing is asked of a network."""
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-n", "-q", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "What keeps a verdict honest" in (tmp_path / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "page", ["README.md", "CHANGELOG.md", "benchmarks/README.md", "hypotheses/smollm2/PUBLISHED.md"]
)
def test_links_of_pages_outside_the_manual_lead_to_files(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", text):
        assert ((ROOT / page).parent / target).exists(), target


def test_claims_that_the_gallery_names_are_made() -> None:
    folder = ROOT / "hypotheses" / "smollm2"
    made = {
        name for file in folder.glob("*.py") for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    findings = re.findall(r"^\| \d+ \|.*\| (.*) \|$", (folder / "PUBLISHED.md").read_text(), re.MULTILINE)
    assert len(findings) == 45
    assert all(finding.startswith(("supported", "refuted", "not statable")) for finding in findings)
    pages = [*findings, *(page.read_text() for page in (DOCS / "gallery").glob("*.md"))]
    assert {name for page in pages for name in re.findall(r"`(test_\w+)`", page)} - made == set()


def test_numbers_of_the_gallery_are_those_of_its_lock() -> None:
    """... wherever a number stands in brackets with the claim that states it, or after its name in the list or in a table."""
    folder = ROOT / "hypotheses" / "smollm2"
    estimates: dict[str, list[float]] = defaultdict(list)
    for claim in json.loads((folder / "circuitcheck.lock").read_text())["claims"].values():
        name = claim["test"].partition("::")[2].partition("[")[0]
        estimates[name] += [effect["estimate"] for effect in claim["effects"] if effect["estimate"] is not None]
    compared = 0
    for page in [folder / "PUBLISHED.md", *(DOCS / "gallery").glob("*.md")]:
        text = re.sub(r"L[0-9]+\.[A-Z]+[0-9]*|\n", " ", page.read_text())
        stated = re.findall(
            r"\(([^()]*`test_\w+`[^()]*)\)|(`test_\w+`, (?:refuted, |together )?-?[0-9]+\.[0-9]+)", text
        )
        for words in map("".join, stated):
            known = [number for name in re.findall(r"`(test_\w+)`", words) for number in estimates[name]]
            for said in re.findall(r"(?<![\w.])-?[0-9]+\.[0-9]+", words):
                compared += 1
                digits = len(said.partition(".")[2])
                assert any(abs(abs(one) - abs(float(said))) < 0.501 * 10**-digits for one in known), (page.name, words)
    assert compared >= 60


def test_the_readme_is_a_page() -> None:
    assert README.read_text(encoding="utf-8").count("\n") <= 150


def test_the_page_of_options_has_all_of_them(pytestconfig: pytest.Config) -> None:
    page = (DOCS / "reference" / "options.md").read_text(encoding="utf-8")
    parser = pytestconfig._parser
    options = {name for name in parser.optparser._option_string_actions if name.startswith("--circuit-")}
    assert set(re.findall(r"\| `(--circuit-[a-z-]+)", page)) == options
    assert set(re.findall(r"\| `(circuit_[a-z_]+)`", page)) == {k for k in parser._inidict if k.startswith("circuit_")}


def test_the_page_of_the_python_interface_has_every_public_name() -> None:
    page = (DOCS / "reference" / "api.md").read_text(encoding="utf-8")
    named = {name for names in re.findall(r"```\{api\} (.*)", page) for name in names.split()}
    assert named == set(circuitcheck.__all__)
    lines = list(described("Run"))
    assert "````{py:method} Run.patch(site, into='corrupt', along=None, *, through='', ln='')" in lines
    assert "````{py:property} Run.gap" in lines
    assert any('```python\nmodel.on(FRUIT).patch("L31.N892 | L26.H1@end") > 0.4\n' in text for text in lines)


@pytest.mark.parametrize(
    ("page", "file"), [("README.md", "test_first.py"), ("docs/how_to/papers_claim.md", "test_paper.py")]
)
def test_claims_come_out_as_the_page_says(page: str, file: str, pytester: pytest.Pytester, bundled: Model) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    suite = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    command, said = re.findall(r"```console\n\$ pytest (hypotheses.*?)\n(.*?)```", text, re.DOTALL)[0]
    pytester.mkdir("hypotheses").joinpath(file).write_text(suite)
    shown = pytester.runpytest_inprocess(*command.split(), "-p", "no:cacheprovider").outlines
    for line in said.splitlines():
        if line != "..." and not re.match("=+ .* in .*s =+$", line):
            assert _above_rounding(line) in map(_above_rounding, shown)


def _above_rounding(line: str) -> str:
    """A line without what the others of a layer do, which is next to nothing, and rounds otherwise elsewhere."""
    return line.partition("; the others' median")[0]


class Sessions(CodeBlockParser):
    """The examples of ```pycon blocks, each with what it gives; numbers to the digits that are there."""

    language = "pycon"
    sessions = DocTestStringParser(DocTestEvaluator(ELLIPSIS | NUMBER))

    def __call__(self, document: Document) -> Iterable[Region]:
        for block in super().__call__(document):
            for region in self.sessions(block.parsed, document.path):
                region.adjust(block, block.parsed)
                yield region


PARSERS = [CodeBlockParser("python", PythonEvaluator()), Sessions(), SkipParser()]
PAGES = [README, *sorted(DOCS.glob("[!_]*/*.md"))]
# Loads files that tests/prompts/test_prompts_page.py writes.
ELSEWHERE = {"files_of_pairs"}
SLOW = {"dictionaries", "observation", "probes"}


def examples_of(page: Path) -> Document:
    return Sybil(PARSERS, path=str(ROOT)).parse(page)


@pytest.mark.circuit(claim=False)
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.stem, marks=[pytest.mark.slow] if page.stem in SLOW else [])
        for page in PAGES
        if page.stem not in ELSEWHERE
    ],
)
def test_examples_give_what_the_page_says(
    page: Path, bundled: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order, with the names of the package, the bundled model and the README's FRUIT."""
    monkeypatch.chdir(tmp_path)
    first = examples_of(README)
    for example in first.examples():
        example.evaluate()
    document = examples_of(page)
    document.namespace |= {name: getattr(circuitcheck, name) for name in circuitcheck.__all__}
    document.namespace |= {"model": bundled, "pytest": pytest, "FRUIT": first.namespace["FRUIT"]}
    for example in document.examples():
        example.evaluate()
