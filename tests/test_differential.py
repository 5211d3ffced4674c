"""The comparison with plain transformers tells what agrees, what is refused and what is wrong; the table in the docs is its own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

import differential.__main__ as command
from circuitcheck import MethodError, Model, load
from differential.comparison import DTYPES, GROUPS, INTERVENTIONS, Finding, Intervention, Oracle, compared, intervened
from differential.configurations import ARCHITECTURES, left_out, saved
from differential.oracle import Part
from differential.table import as_markdown, rows, short

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "models.md"
# The last of each group: those of Llama and of GPT-NeoX, whose sublayers are parallel and whose projections are in one.
FEW = list({one.group: one for one in INTERVENTIONS}.values())


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Oracle]:
    folder = saved("LlamaForCausalLM", tmp_path_factory.mktemp("llama"), "float32")
    return load(folder, weights="raw"), Oracle.of(folder, "float32")


BLANK = Finding("LlamaForCausalLM", "float32", "", "", "not compared")
ONE_HEAD = [Intervention("heads", (Part(1, "H", 2),))]


def test_what_agrees_is_in_the_table(llama: tuple[Model, Oracle], tmp_path: Path) -> None:
    neox, dtype = "GPTNeoXForCausalLM", "bfloat16"
    by_name = {"LlamaForCausalLM": list(intervened(*llama, BLANK, FEW))}
    by_name[neox] = list(compared(neox, saved(neox, tmp_path / "model", dtype), dtype, FEW))
    for name, found in by_name.items():
        assert {one.outcome for one in found} == {"agrees"}
        moved = [max(map(abs, one.numbers[1])) > one.reach for one in found if one.numbers]
        assert sum(moved) > len(moved) / 2  # most of what is compared is there
        cells = dict(zip(GROUPS, rows(PAGE.read_text())[short(name)], strict=True))
        assert {cell for group, cell in cells.items() if (name, group) != (neox, "streams")} == {"yes"}
    assert {one.group for one in by_name[neox]} == set(GROUPS)


def test_a_write_into_another_head_is_a_failure(llama: tuple[Model, Oracle], monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one.outcome for one in intervened(*llama, BLANK, ONE_HEAD)] == ["agrees"]
    monkeypatch.setattr(Intervention, "address", lambda self, groups: "L1.H3")
    found = list(intervened(*llama, BLANK, ONE_HEAD))
    assert [one.outcome for one in found] == ["differs"]
    assert "**WRONG: 1 of 1**" in as_markdown({"LlamaForCausalLM": found})


def test_refusals_are_told_from_errors(llama: tuple[Model, Oracle], monkeypatch: pytest.MonkeyPatch) -> None:
    for error, outcome in ((MethodError("no"), "refused"), (KeyError("no"), "error")):
        monkeypatch.setattr(Model, "on", Mock(side_effect=error))
        assert [one.outcome for one in intervened(*llama, BLANK, ONE_HEAD)] == [outcome]


def test_the_oracle_finds_the_places_that_the_code_of_llama_shows(llama: tuple[Model, Oracle]) -> None:
    where = llama[1].exact.where
    modules = {"ATTN": "self_attn.o_proj", "MLP": "mlp.down_proj", "RESID_MID": "post_attention_layernorm"}
    modules |= {"H": "self_attn.o_proj", "N": "mlp.down_proj", "Q": "self_attn.q_proj", "K": "self_attn.k_proj"}
    for (kind, module), layer in [(one, layer) for one in modules.items() for layer in range(3)]:
        found = [entries.place for part, entries in where.items() if (part.layer, part.kind) == (layer, kind)]
        assert {place.module for place in found} == {f"model.layers.{layer}.{module}"}
    assert where[Part(1, "H", 3)].columns == tuple(range(24, 32))
    assert where[Part(1, "K", 1)].columns == tuple(range(8, 16))


def test_every_decoder_of_text_that_both_sides_know_is_compared() -> None:
    decoders = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
    unknown, no_decoders = left_out().values()
    assert not set(unknown) & set(ARCHITECTURES)
    assert all("ForConditionalGeneration" in name for name in no_decoders if name in decoders)


def _findings(outcome: Any, dtype: str = "float32") -> list[Finding]:
    reason = "" if outcome == "agrees" else "L1.H1 is not there in LlamaForCausalLM; address it otherwise"
    return [Finding("LlamaForCausalLM", dtype, group, "patch", outcome, reason=reason) for group in GROUPS]


def test_the_table_says_why_and_where_dtypes_differ() -> None:
    found = as_markdown({"LlamaForCausalLM": [*_findings("agrees"), *_findings("refused", "bfloat16")]})
    assert rows(found) == {"Llama": ["yes; bfloat16: refused (it is not there in the model)"] * len(GROUPS)}


@pytest.mark.parametrize(
    ("outcome", "code"), [("agrees", 0), ("refused", 0), ("not compared", 0), ("differs", 1), ("error", 1)]
)
def test_the_command_fails_where_something_is_wrong(
    outcome: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def all_of(names: list[str], dtypes: list[str], workers: int) -> Iterator[tuple[str, list[Finding], float]]:
        yield names[0], _findings(outcome), 1.0

    monkeypatch.setattr(command, "_all", all_of)
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text())
    written = tmp_path / "all.json"
    assert command.main(["LlamaForCausalLM", "--json", str(written), "--page", str(page)]) == code
    assert rows(page.read_text()).keys() == rows(capsys.readouterr().out).keys() == {"Llama"}
    assert {one["outcome"] for one in json.loads(written.read_text())["architectures"]["LlamaForCausalLM"]} == {outcome}


def test_the_table_in_the_docs_has_all_architectures() -> None:
    assert list(rows(PAGE.read_text())) == [short(name) for name in ARCHITECTURES]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_row_in_the_docs_is_what_comes_out(architecture: str) -> None:
    found, _ = command._one(architecture, list(DTYPES))
    assert rows(as_markdown({architecture: found})) == {
        short(architecture): rows(PAGE.read_text())[short(architecture)]
    }
