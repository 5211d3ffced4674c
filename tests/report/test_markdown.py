"""The summary in Markdown: what failed comes first, text stays text, and no more is written than GitHub shows."""

import html
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from circuitcheck.report.claims import LockReport
from circuitcheck.report.escaping import as_code, in_html, in_markdown
from circuitcheck.report.markdown import LIMIT, summary
from circuitcheck.texts import printable
from tests.claims_for_tests import claim, collected, effect, model
from tests.conftest import Claims

SUITE = """
def test_restores(model):
    "L1.N8 restores | a third, says @user."
    assert model.on(FRUIT).patch("L1.N8") > 0.3
def test_most(model):
    '''It restores <b>nearly all</b>.

    More words.
    '''
    assert model.on(FRUIT).patch("L1.N8@end") > 0.9
def test_nothing(model):
    assert model.on(FRUIT).patch("L2.MLP") == pytest.approx(0, abs=0.1)
@pytest.mark.skip("not `today`")
def test_skipped(model):
    pass
@pytest.mark.xfail(raises=ClaimRefuted)
def test_expected(model):
    "Nothing restores everything."
    assert model.on(FRUIT).patch(NONE) > 0.5
"""


def shown(text: str) -> str:
    """The text as a reader sees it."""
    return html.unescape(re.sub(r"<[^>]*>", "", text))


def rows(text: str) -> list[list[str]]:
    """The cells of each row of the tables."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[shown(cell).strip() for cell in line[1:-1].split("|")] for line in lines]


def test_a_run_as_a_summary(claims: Claims, tmp_path: Path) -> None:
    claims(SUITE, f"--circuit-markdown={tmp_path}/new/summary.md")
    text = (tmp_path / "new" / "summary.md").read_text(encoding="utf-8")
    file = "test_a_run_as_a_summary.py"
    head = ["verdict", "claim", "effect", "threshold", "n", "model"]
    assert rows(text) == [
        head,
        ["❌ refuted", f"It restores <b>nearly all</b>.{file}::test_most", "patch L1.N8@end: 0.599 of the gap (exact)", "> 0.9", "8", "bundled"],
        head,
        ["✅ supported", f"L1.N8 restores | a third, says @user.{file}::test_restores", "patch L1.N8: 0.599 of the gap (exact)", "> 0.3", "8", "bundled"],
        ["✅ supported", f"{file}::test_nothing", "patch L2.MLP: -0.0153 of the gap (exact)", "== 0 ± 0.1", "8", "bundled"],
        ["⏭️ skipped", f"{file}::test_skipped", "not `today`", "", "", ""],
        ["☑️ refuted, as expected", f"Nothing restores everything.{file}::test_expected", "patch L0.H0@{tree}[1]: 0 of the gap (exact)", "> 0.5", "8", "bundled"],
    ]  # fmt: skip
    assert "5 claims: ❌ 1 refuted" in text.replace("✅ 2 supported · ", "")
    details = text[text.index("<details>") : text.index("</details>")]
    assert "<summary>❌ refuted: It restores &#60;b&#62;nearly all&#60;/b&#62;.</summary>" in details
    assert (
        f"<pre>{file}::test_most\n\ncircuitcheck.ClaimRefuted: refuted: patch L1.N8@end &gt; 0.9 of the gap" in details
    )
    assert "  controls rank 1 of 17 (16 drawn of 47, on the same 8 pairs)" in details
    assert text.count("<details>") == 1
    assert "\n- 1 skipped: not &#96;today&#96;\n" in text
    assert text.index("Not as claimed") < text.index("The others")


def test_intervals_ranks_searches_and_what_was_not_decided() -> None:
    found = collected(
        claim("t.py::sampled", effects=[effect(exact=False, low=0.5, high=None, n=64), effect()]),
        claim("t.py::rank", effects=[effect(unit="rank", estimate=2.0, threshold=3.0, operator="<=")]),
        claim("t.py::weights", effects=[effect(unit="congruence", counted="neurons", n=1440)]),
        claim("t.py::searched", "unrefuted", effects=[effect("unrefuted", searched={"standing": "none in 9", "clean": None})]),
        claim("t.py::broken", "refuted", "failed", effects=[effect("refuted", searched={"standing": "", "clean": "x"})]),
        claim("t.py::nothing", "inconclusive", "failed", effects=[effect("inconclusive", None, searched={"standing": "none", "clean": None})]),
        claim("t.py::absent", "undecided", "error", problem="BehaviourAbsent: none", model=None),
        claim("t.py::let_off", outcome="failed", problem="--circuit-strict: ...", explanation="--circuit-strict: ..."),
    )  # fmt: skip
    cells = {row[1]: (row[0], *row[2:]) for row in rows(summary(found)) if row[0] != "verdict"}
    assert cells["t.py::sampled"][1:4] == (
        "patch L1.N8: 0.6 of the gap (95% interval 0.5 to unbounded), and 1 more",
        "> 0.4",
        "64",
    )
    assert cells["t.py::rank"][1:3] == ("patch L1.N8: 2 (exact)", "<= 3")
    assert cells["t.py::weights"][3] == "1,440 neurons"
    assert cells["t.py::searched"][:2] == ("🔍 unrefuted", "patch L1.N8: 0.6 of the gap (the worst; none in 9)")
    assert cells["t.py::broken"][1] == "patch L1.N8: 0.6 of the gap (a counterexample)"
    assert cells["t.py::nothing"][1] == "patch L1.N8: none of the gap (the worst; none)"
    assert cells["t.py::absent"] == ("⚠️ undecided", "BehaviourAbsent: none", "", "", "")
    assert cells["t.py::let_off"][0] == "⚠️ supported, and failed"


def test_several_models_are_a_matrix_of_the_tests_that_share_them() -> None:
    small, big, step = model("small"), model("big", dtype="bfloat16"), model("big", step=1000)
    found = collected(
        claim("t.py::one[small]", test="t.py::one", words="It restores it.", model=small, asked="small"),
        claim(
            "t.py::one[big]",
            "refuted",
            "failed",
            test="t.py::one",
            words="It restores it.",
            model=big,
            asked="big,dtype=bfloat16",
        ),
        claim("t.py::two[small]", test="t.py::two", model=small, asked="small"),
        claim("t.py::two[step]", test="t.py::two", model=step, asked="runs/big-1000"),
        claim("t.py::alone", model=small),
    )
    text = summary(found)
    start = text.index("### By model")
    matrix = rows(text[start : text.index("###", start + 3)])
    assert matrix[0] == ["claim", "big-1000step 1,000", "small", "big,dtype=bfloat16"]
    assert matrix[1] == ["It restores it.", "", "✅ supported 0.6", "❌ refuted 0.6"]
    assert matrix[2] == ["t.py::two", "✅ supported 0.6", "✅ supported 0.6", ""]
    assert len(matrix) == 3
    assert "By model" not in summary(collected(claim("t.py::alone"), claim("t.py::other")))


def test_what_the_lock_said_is_in_it(claims: Claims, tmp_path: Path) -> None:
    said = LockReport(["lock: 1 finding against circuitcheck.lock", "  t.py::one: it | drifted"], False)
    text = summary(collected(claim("t.py::one")), said)
    assert (
        "## Circuit claims\n\n❌ lock: 1 finding against circuitcheck.lock\n\n- t.py::one: it | drifted\n\n"
        in shown(text)
    )
    assert "lock: there is no circuitcheck.lock\n" in shown(
        summary(collected(), LockReport(["lock: there is no circuitcheck.lock"], False))
    )
    assert summary(collected()) == ""
    claims(SUITE, "--circuit-lock=check", f"--circuit-markdown={tmp_path}/summary.md")
    assert "circuitcheck.lock: --circuit-lock=update writes it\n" in shown((tmp_path / "summary.md").read_text())


@pytest.mark.parametrize("many", [100, 1_500])
def test_no_more_is_written_than_github_shows(many: int) -> None:
    long = "what the prompts were | " * 200
    found = collected(
        *(claim(f"t.py::passed[{n}]", words=long) for n in range(many)),
        *(claim(f"t.py::failed[{n}]", "refuted", "failed", words=long, explanation=long * 3) for n in range(many)),
    )
    text = summary(found)
    size = len(text.encode())
    assert size <= LIMIT
    if many == 100:
        assert "Cut here" not in text
        assert text.count("| ✅ supported |") == text.count("| ❌ refuted |") == 100
    else:
        assert size > 0.9 * LIMIT
        left = re.search(r"\n\n\*\*Cut here\*\*, .*: ([\d,]+) of 3,000 claims are left out.\n$", text)
        assert left is not None
        there = len([row for row in rows(text) if row[0] in ("❌ refuted", "✅ supported")])
        assert int(left[1].replace(",", "")) == 3_000 - there
        assert there > 500
    assert text.count("<details>") == text.count("</details>")
    assert all(line.endswith(" |") for line in text.splitlines() if line.startswith("| "))
    assert max(map(len, text.splitlines())) < 40_000


@given(
    st.text()
    | st.lists(st.sampled_from(["|", "`", "\\", "@u", "#1", "<b>", "__x__", "[a](b)", "\n", "\ud800", "://"])).map(
        "".join
    )
)
@example("@user, @org/team and a@b.co | `x` <script> \\| #12 :tada: https://e.org www.e.org ![i](u) $x$ ~~y~~")
@example("\x1b[31m \x00 \ud800 \u202e 😀\r\n\n- x")
def test_text_stays_text(text: str) -> None:
    for escaped in (in_markdown(text), as_code(text)):
        assert "\n" not in escaped
        plain = re.sub(r"</?(?:code|span)>", "", escaped)
        assert not re.search(
            r"[\\`*\[\]<>|~$@]|#(?!\d+;)|&(?!#\d+;)|://|www\.|\b_|_\b", re.sub(r"(?<=\w)_(?=\w)", "", plain)
        )
        assert html.unescape(plain) == " ".join(printable(text).split()) or len(text) > 299
        for piece in re.split(r"<[^>]*>", escaped):
            assert not re.search(r"@\w|#\w|:[\w+-]+:", html.unescape(piece))
        escaped.encode("utf-8")
    between = in_html(text)
    assert not re.search("[<>]", between)
    assert html.unescape(between) == printable(text)


def test_a_path_that_is_a_folder_is_a_usage_error(claims: Claims, tmp_path: Path) -> None:
    result = claims(SUITE, f"--circuit-markdown={tmp_path}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--circuit-markdown=* is a folder; name a file*"])
