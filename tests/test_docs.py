"""The README and the manual: they build without a warning, their links lead somewhere, and their examples give what they say."""

import re
import subprocess
import sys
from collections.abc import Iterable
from doctest import ELLIPSIS
from pathlib import Path

import pytest
from sybil import Document, Region, Sybil
from sybil.evaluators.doctest import DocTestEvaluator
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.abstract import DocTestStringParser
from sybil.parsers.myst import CodeBlockParser, SkipParser

import circuitcheck
from circuitcheck import Model

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


def test_the_readme_is_a_page() -> None:
    assert README.read_text(encoding="utf-8").count("\n") <= 150


def test_the_page_of_options_has_all_of_them(pytestconfig: pytest.Config) -> None:
    page = (DOCS / "reference" / "options.md").read_text(encoding="utf-8")
    parser = pytestconfig._parser
    options = {name for name in parser.optparser._option_string_actions if name.startswith("--circuit-")}
    assert set(re.findall(r"\| `(--circuit-[a-z-]+)", page)) == options
    assert set(re.findall(r"\| `(circuit_[a-z_]+)`", page)) == {k for k in parser._inidict if k.startswith("circuit_")}


class Sessions(CodeBlockParser):
    """The examples of ```pycon blocks, each with what it gives."""

    language = "pycon"
    sessions = DocTestStringParser(DocTestEvaluator(ELLIPSIS))

    def __call__(self, document: Document) -> Iterable[Region]:
        for block in super().__call__(document):
            for region in self.sessions(block.parsed, document.path):
                region.adjust(block, block.parsed)
                yield region


PARSERS = [CodeBlockParser("python", PythonEvaluator()), Sessions(), SkipParser()]
EXAMPLES = ["README.md", *(str(page.relative_to(ROOT)) for page in sorted(DOCS.glob("[!_]*/*.md")))]


@pytest.mark.circuit(claim=False)
@pytest.mark.parametrize("page", EXAMPLES)
def test_examples_give_what_the_page_says(
    page: str, bundled: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order, with the README's pairs and the bundled model, as the pages say."""
    document = Sybil(PARSERS, path=str(ROOT)).parse(ROOT / page)
    public = {name: getattr(circuitcheck, name) for name in circuitcheck.__all__}
    fruit = Sybil(PARSERS, path=str(ROOT)).parse(README)
    document.namespace.update(public, model=bundled, pytest=pytest)
    monkeypatch.chdir(tmp_path)
    for example in fruit.examples():
        example.evaluate()
    document.namespace["FRUIT"] = fruit.namespace["FRUIT"]
    for example in document.examples():
        example.evaluate()
