"""A war ends after it began: greater-than on two-digit years (Hanna et al. 2023)."""

from circuitcheck import PromptPairs, contrast


def endings(first: int, last: int) -> list[str]:
    return [f"{year:02d}" for year in range(first, last + 1)]


YEARS = PromptPairs(
    "The {event} lasted from the year {century}{start} to the year {century}",
    event=["war", "siege", "voyage", "trial"],
    century=["14", "15", "17"],
    start=contrast(clean=endings(20, 89), corrupt=["01"]),
    answer=lambda clean: endings(int(clean["start"]) + 1, 99),
    foil=lambda clean: endings(0, int(clean["start"])),
    merging="as tokens",  # " 1700" is one token of GPT-2's vocabulary
)


def test_the_end_comes_after_the_beginning(model):
    """In more than 97 % of the prompts the best ending that is greater stands above the best that is not."""
    assert model.on(YEARS).accuracy > 0.97


def test_the_year_is_read_where_it_stands(model):
    """The stream at the starting year's token, before the first layer, holds the whole difference."""
    assert 0.95 < model.on(YEARS).patch("L0.RESID_PRE@{start}") < 1.05


def test_attention_of_the_first_layer_fetches_it(model):
    """L0.ATTN restores more than 80 % of the log-odds of a greater year."""
    assert model.on(YEARS).patch("L0.ATTN") > 0.8
