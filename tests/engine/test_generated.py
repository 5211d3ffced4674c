"""Text that a model writes, beside plain transformers: whole prompts at every step, PyTorch's own hooks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from circuitcheck import Model, PromptPairs, contrast, generated, load, mean, scaled
from circuitcheck.bundled import PATH
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.settings import Settings
from tests.architectures import ARCHITECTURES, saved
from tests.conftest import each, first
from tests.models.test_chats import with_template

MOST = 10
PAIRS = PromptPairs(
    "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked",
    tree=["pear", "fig"],
    fruit=contrast(clean=["apple", "olive"], corrupt=["lemon", "peach"]),
    answer=" an",
    foil=" a",
)
ANYTHING = generated(bool, MOST)
# What is done to an activation [position, width] at the tokens that are written.
Change = Callable[[torch.Tensor], torch.Tensor]


class Plain:
    """transformers' own model of a folder."""

    def __init__(self, folder: Path):
        self.network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        inner = getattr(self.network, "transformer", None) or self.network.model
        self.blocks = inner.h if hasattr(inner, "h") else inner.layers
        self.bos = 0  # of the bundled tokenizer, which all of them have; it is its EOS, too
        self.stops = {self.bos, self.network.generation_config.eos_token_id}
        self.d_head = self.network.config.hidden_size // self.network.config.num_attention_heads

    @contextmanager
    def hooked(self, site: str, change: Callable[[torch.Tensor], None]) -> Iterator[None]:
        """While the block lasts, ``change`` is given the entries [position, width] of a component in every run."""
        layer, kind = int(site[1]), site[3:]
        block = self.blocks[layer]
        attention = getattr(block, "attn", None) or block.self_attn
        into_stream = getattr(attention, "c_proj", None) or attention.o_proj
        down = getattr(block.mlp, "c_proj", None) or block.mlp.down_proj
        index = int(kind[1:]) if kind[1:].isdecimal() else 0
        at = {
            "N": (down, True, slice(index, index + 1)),
            "H": (into_stream, True, slice(index * self.d_head, (index + 1) * self.d_head)),
        }.get(kind[0])
        whole = {"MLP": block.mlp, "ATTN": attention, "RESID_POST": block, "RESID_PRE": block}
        module, is_input, part = at if at and kind not in whole else (whole[kind], kind == "RESID_PRE", slice(None))

        def before(module: Any, given: Any) -> Any:
            activation = given[0].clone()
            change(activation[0, :, part])
            return (activation, *given[1:])

        def after(module: Any, given: Any, output: Any) -> Any:
            activation = (output[0] if isinstance(output, tuple) else output).clone()
            change(activation[0, :, part])
            return (activation, *output[1:]) if isinstance(output, tuple) else activation

        handle = module.register_forward_pre_hook(before) if is_input else module.register_forward_hook(after)
        try:
            yield
        finally:
            handle.remove()

    def seen(self, site: str, prompt: tuple[int, ...]) -> torch.Tensor:
        """What is at a component, of shape [position, width]."""
        found: list[torch.Tensor] = []
        with self.hooked(site, lambda there: found.append(there.clone())), torch.inference_mode():
            self.network(torch.tensor([prompt]), use_cache=False)
        return found[0]

    def writes(
        self, prompt: tuple[int, ...], sites: str = "", change: "Change | None" = None, at: Any = None
    ) -> list[int]:
        """The tokens that it writes: every step runs all tokens again. ``at``: where a change is made, of so many tokens."""
        tokens = list(prompt)
        while len(tokens) < len(prompt) + MOST:

            def put(there: torch.Tensor) -> None:
                mask = at(torch.tensor(tokens), len(prompt))
                if change is not None:
                    there[mask] = change(there)[mask]

            with torch.inference_mode():
                if change is None:
                    logits = self.network(torch.tensor([tokens]), use_cache=False).logits
                else:
                    with self.hooked(sites, put):
                        logits = self.network(torch.tensor([tokens]), use_cache=False).logits
            tokens.append(int(logits[0, -1].argmax()))
            if tokens[-1] in self.stops:
                return tokens[len(prompt) : -1]
        return tokens[len(prompt) :]


def everywhere(tokens: torch.Tensor, prompt: int) -> torch.Tensor:
    return torch.ones(len(tokens), dtype=torch.bool)


def end(tokens: torch.Tensor, prompt: int) -> torch.Tensor:
    return torch.arange(len(tokens)) == prompt - 1


def after(tokens: torch.Tensor, prompt: int) -> torch.Tensor:
    return torch.arange(len(tokens)) >= prompt


WHERE = {"": everywhere, "@end": end, "@answer": after}


def texts(model: Model, pairs: tuple[AlignedPair, ...], found: list[list[int]]) -> list[str]:
    decode = model.bridge.tokenizer.decode
    return [
        decode([*pair.clean, *new])[len(decode(list(pair.clean))) :] for pair, new in zip(pairs, found, strict=True)
    ]


@pytest.fixture(scope="module", params=each(["bundled", "Llama", "Mistral"], ["bundled", "Llama"]))
def both(request: Any, raw: Model, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Plain]:
    if request.param == "bundled":
        return raw, Plain(PATH)
    folder = saved(tmp_path_factory.mktemp("models") / "small", ARCHITECTURES[request.param], scale=0.4)
    return load(folder, weights="raw"), Plain(folder)


SITES = ["L1.N8", "L0.H2", "L1.MLP", "L0.ATTN", "L1.RESID_POST", "L2.RESID_PRE"]


@pytest.mark.parametrize(("site", "where", "value"), first(4, [
    ("L1.N8", "", 0), ("L1.MLP", "@answer", 0.5), ("L0.H2", "", "zero"), ("L0.H2", "@end", scaled(3)), ("L1.MLP", "@end", 0.5),
    *((one, "", scaled(-1.5)) for one in SITES),
]))  # fmt: skip
def test_an_ablation_is_in_place_at_every_step(both: tuple[Model, Plain], site: str, where: str, value: Any) -> None:
    model, plain = both
    run = model.on(PAIRS, readout=ANYTHING)
    factor = getattr(value, "factor", None)
    number = 0.0 if value == "zero" else value

    def change(there: torch.Tensor) -> torch.Tensor:
        return there * factor if factor is not None else torch.full_like(there, number)

    def at(tokens: torch.Tensor, prompt: int) -> torch.Tensor:
        return WHERE[where](tokens, prompt) & (tokens != plain.bos)

    found = run.ablate(f"{site}{where}", value).measure()
    pairs = found.pairs
    assert [one["without"] for one in found.texts] == texts(model, pairs, [plain.writes(one.clean) for one in pairs])
    wanted = [plain.writes(one.clean, site, change, at) for one in pairs]
    assert [one["with"] for one in found.texts] == texts(model, pairs, wanted)


def test_what_is_done_is_seen_in_the_texts(raw: Model) -> None:
    """Or the comparisons above would say nothing."""
    run = raw.on(PAIRS, readout=ANYTHING)
    for value in (scaled(-1.5), 0.5):
        for address in ("L1.MLP", "L1.MLP@answer"):
            assert any(one["with"] != one["without"] for one in run.ablate(address, value).measure().texts), address


@pytest.mark.parametrize("side", ["clean", "corrupt"])
@pytest.mark.parametrize("where", each(WHERE, ("", "@answer")))
def test_a_vector_is_added_at_every_step(both: tuple[Model, Plain], side: Any, where: str) -> None:
    model, plain = both
    vector = torch.randn(int(model.bridge.cfg.d_model), generator=torch.Generator().manual_seed(1))
    found = model.on(PAIRS, readout=ANYTHING).steer(f"L1.RESID_POST{where}", vector, 2.0, into=side).measure()

    def at(tokens: torch.Tensor, prompt: int) -> torch.Tensor:
        return WHERE[where](tokens, prompt) & (tokens != plain.bos)

    pairs = found.pairs
    wanted = [plain.writes(one.tokens(side), "L1.RESID_POST", lambda there: there + 2 * vector, at) for one in pairs]
    assert [one["with"] for one in found.texts] == texts(model, pairs, wanted)


@pytest.mark.parametrize("of", ["both", "clean"])
@pytest.mark.parametrize("site", each(["L1.MLP", "L0.H2", "L1.N8"], ["L0.H2"]))
def test_the_mean_at_new_tokens_is_over_all_tokens_of_the_reference_prompts(
    both: tuple[Model, Plain], site: str, of: Any
) -> None:
    """In the prompt it is that of the token's role: here, where all prompts have one shape, of its place."""
    model, plain = both
    found = model.on(PAIRS, readout=ANYTHING).ablate(site, mean(of=of)).measure()
    pairs = found.pairs
    prompts = [pair.tokens(side) for pair in pairs for side in (("clean", "corrupt") if of == "both" else ("clean",))]
    means = torch.stack([plain.seen(site, one) for one in prompts]).double().mean(0)
    first = int(prompts[0][0] == plain.bos)
    overall = means[first:].mean(0, keepdim=True)

    def change(there: torch.Tensor) -> torch.Tensor:
        return torch.cat([means, overall.expand(len(there) - len(means), -1)]).to(there)

    wanted = [plain.writes(one.clean, site, change, everywhere) for one in pairs]
    assert [one["with"] for one in found.texts] == texts(model, pairs, wanted)


@pytest.fixture(scope="module")
def with_features(raw: Model) -> tuple[Model, list[int]]:
    """A model with a dictionary at L1.RESID_POST, and the two features that are most active in the prompts."""
    model, plain = raw.with_dictionary("L1.RESID_POST", "bundled-seed0"), Plain(PATH)
    there = torch.stack([plain.seen("L1.RESID_POST", pair.clean)[1:] for pair in model.on(PAIRS)._setup.sample.pairs])
    return model, model._loaded.dictionaries[0].dictionary.encode(there).sum((0, 1)).topk(2).indices.tolist()


@pytest.mark.parametrize("where", ["", "@answer"])
@pytest.mark.parametrize("value", [2.0, scaled(-30), "mean"])
def test_a_feature_is_written_at_every_step(with_features: tuple[Model, list[int]], where: str, value: Any) -> None:
    """And nothing else of what is there; another feature at one token of the prompt."""
    (model, most), plain = with_features, Plain(PATH)
    dictionary, run = model._loaded.dictionaries[0].dictionary, model.on(PAIRS, readout=ANYTHING)
    prompts = [pair.tokens(side) for pair in run._setup.sample.pairs for side in ("clean", "corrupt")]
    means = torch.stack([dictionary.encode(plain.seen("L1.RESID_POST", one), most) for one in prompts]).mean(0)
    means = torch.cat([means, means[1:].mean(0, keepdim=True).expand(MOST, -1)])

    def change(there: torch.Tensor) -> torch.Tensor:
        was, tokens = dictionary.encode(there, most), torch.arange(len(there))
        factor = getattr(value, "factor", None)
        wanted = means[: len(was)] if value == "mean" else torch.full_like(was, 2.0) if factor is None else was * factor
        everywhere_but_bos = WHERE[where](tokens, len(prompts[0])) & ((tokens > 0) | (value == "mean"))
        places = torch.stack([everywhere_but_bos, end(tokens, len(prompts[0]))], 1)
        return there + dictionary.written((wanted - was) * places, there, most)

    found = run.ablate(f"L1.RESID_POST.F{most[0]}{where} | L1.RESID_POST.F{most[1]}@end", value).measure()
    wanted = [plain.writes(one.clean, "L1.RESID_POST", change, everywhere) for one in found.pairs]
    assert [one["with"] for one in found.texts] == texts(model, found.pairs, wanted)
    if value != "mean":
        assert any(one["with"] != one["without"] for one in found.texts), "or this would say nothing"


def test_sites_that_are_swept_are_written_as_each_by_itself(with_features: tuple[Model, list[int]]) -> None:
    """A stream, its dictionary's error, and features live at one hook point."""
    (model, most), readout = with_features, generated(lambda text: text.startswith(" an"), MOST)
    sites = ["L0.MLP", *(f"L1.RESID_POST.F{one}" for one in most), "L1.RESID_POST.ERROR", "L1.RESID_POST"]
    swept = model.on(PAIRS, readout=readout)
    swept.sweep(" | ".join(sites), "ablate", value=scaled(-1))
    alone = load("bundled", weights="raw").with_dictionary("L1.RESID_POST", "bundled-seed0").on(PAIRS, readout=readout)
    both = [[run.ablate(site, scaled(-1)).measure().texts for site in sites] for run in (swept, alone)]
    assert both[0] == both[1]
    assert len({str(one) for one in both[0]}) > 2


def test_a_batch_says_what_each_prompt_says_alone(raw: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where rounding is held to be so large that all of them are run alone, and where memory holds one at a time."""
    wanted = raw.on(PAIRS, readout=ANYTHING).ablate("L1.MLP", scaled(-1.5)).measure().texts
    tight = load("bundled", weights="raw", settings=Settings(memory=2**24))
    assert tight.on(PAIRS, readout=ANYTHING).ablate("L1.MLP", scaled(-1.5)).measure().texts == wanted
    doubtful = load("bundled", weights="raw")
    doubtful._loaded.answers.engine.rounding = 1e3
    sizes: list[int] = []
    run = type(doubtful.bridge.original_model).forward

    def counting(self: Any, *given: Any, **more: Any) -> Any:
        sizes.append(len(more.get("input_ids", given[0] if given else ())))
        return run(self, *given, **more)

    monkeypatch.setattr(type(doubtful.bridge.original_model), "forward", counting)
    assert doubtful.on(PAIRS, readout=ANYTHING).ablate("L1.MLP", scaled(-1.5)).measure().texts == wanted
    assert sizes.count(1) > 8 * MOST, "each of 8 texts is written alone"


def test_two_tokens_that_always_tie_are_chosen_as_one_prompt_alone_has_them(tmp_path: Path) -> None:
    folder = saved(tmp_path / "ties", ARCHITECTURES["Llama"], scale=0.4)
    plain = Plain(folder)
    with torch.no_grad():
        weight = plain.network.lm_head.weight
        weight[425:] = weight[:425]
    plain.network.save_pretrained(folder)
    model = load(folder, weights="raw")
    found = model.on(PAIRS, readout=ANYTHING).accuracy.measure()
    assert [one["clean"] for one in found.texts] == texts(
        model, found.pairs, [plain.writes(one.clean) for one in found.pairs]
    )


@pytest.mark.parametrize("value", [scaled(-1.5), "mean"])
def test_where_runs_cannot_be_taken_up_texts_are_the_same(raw: Model, value: Any) -> None:
    wanted = raw.on(PAIRS, readout=ANYTHING).ablate("L1.MLP", value).measure().texts
    model = load("bundled", weights="raw")
    model._loaded.answers.engine.trust.distrust("for a test")
    assert model.on(PAIRS, readout=ANYTHING).ablate("L1.MLP", value).measure().texts == wanted


def test_a_cache_that_gives_other_texts_is_not_trusted(raw: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = raw.on(PAIRS, readout=ANYTHING).accuracy.measure().texts
    model = load("bundled", weights="raw")
    decoder = model._loaded.answers.engine.trust.cone.decoder  # type: ignore[union-attr]
    run = decoder.run
    monkeypatch.setattr(decoder, "run", lambda tokens, *given: run(tokens, *given).roll(1, -1))
    assert model.on(PAIRS, readout=ANYTHING).accuracy.measure().texts == wanted
    assert "not that of a plain run" in model._loaded.answers.engine.trust.why_plain


def test_an_assistant_writes_what_it_writes_in_transformers(tmp_path: Path) -> None:
    folder = with_template(tmp_path / "chat", PATH, "{% for m in messages %}{{ m['content'] }}.{% endfor %}")
    model, plain = load(folder, weights="raw"), Plain(PATH)
    chat = [{"role": "user", "content": "I climbed up the {fruit} tree and picked"}]
    pairs = PromptPairs(chat, fruit=contrast(clean=["apple"], corrupt=["lemon"]), answer=" an", foil=" a")
    found = model.on(pairs, readout=ANYTHING).ablate("L1.MLP", scaled(-1.5)).measure()
    wanted = plain.writes(
        found.pairs[0].clean, "L1.MLP", lambda there: -1.5 * there, lambda tokens, prompt: tokens != plain.bos
    )
    assert [one["with"] for one in found.texts] == texts(model, found.pairs, [wanted])


def test_a_text_ends_before_eos(tmp_path: Path) -> None:
    """The model's generation config names tokens that end a text, as that of chat models does, beside the tokenizer's EOS."""
    import json
    import shutil

    folder = tmp_path / "stops"
    shutil.copytree(PATH, folder)
    tokenizer = load("bundled").bridge.tokenizer
    stop = tokenizer.encode(" tree", add_special_tokens=False)
    config = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    (folder / "generation_config.json").write_text(json.dumps(config | {"eos_token_id": [0, *stop]}), encoding="utf-8")
    free, stopped = (
        [one["clean"] for one in load(where).on(PAIRS, readout=generated(bool, 20)).accuracy.measure().texts]
        for where in ("bundled", folder)
    )
    assert any(" tree" in one for one in free)
    assert stopped == [one.partition(" tree")[0] for one in free]
