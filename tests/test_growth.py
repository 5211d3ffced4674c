"""The table of how cost grows, made again in a small form."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_table_and_the_picture_are_written_into_the_page(tmp_path: Path) -> None:
    page = tmp_path / "scale.md"
    page.write_text("before\n<!-- growth -->\nold\n<!-- /growth -->\nafter\n")
    command = [sys.executable, "-m", "benchmarks.growth", "--doublings", "1", "--page", str(page)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    text = page.read_text()
    assert text.startswith(
        "before\n<!-- growth -->\nSeconds; x1 is 16 pairs, 16 tokens, 4 layers, 16 claims, 1 checkpoint.\n"
    )
    assert text.endswith("\n<!-- /growth -->\nafter\n")
    for name in ("pairs", "tokens", "layers", "claims", "checkpoints"):
        assert re.search(rf"^\| {name} \| [\d.]+ \(\d+\) \| [\d.]+ \(\d+\) \| x[\d.]+ \|$", text, re.MULTILINE)
    assert re.search(r"A head writes [\d,]{5,} numbers a second", text)
    assert (tmp_path / "growth.svg").read_text().count("checkpoints") >= 1
