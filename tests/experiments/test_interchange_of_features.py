"""What features of a dictionary carry: interchanged they are parts of their stream, and they are not scrubbed."""

import numpy as np
import pytest

from circuitcheck import MethodError, Model
from tests.experiments.test_interchange import gifts

AT = "L1.RESID_POST"


@pytest.fixture(scope="module")
def featured(bundled: Model) -> Model:
    return bundled.with_dictionary(AT, "bundled-seed0")


def test_all_features_and_the_error_carry_what_the_stream_carries(featured: Model) -> None:
    run = featured.on(gifts())
    at = f"{AT}@{{giver}}"
    whole, parts, features = (
        run.interchange(address, "giver")
        for address in (at, f"{AT}.F*@{{giver}} | {AT}.ERROR@{{giver}}", f"{AT}.F*@{{giver}}")
    )
    assert np.array_equal(whole.measure().per_pair, parts.measure().per_pair)
    assert np.array_equal(whole.of_gap.measure().per_pair, parts.of_gap.measure().per_pair)
    assert features.of_gap.measure().estimate != pytest.approx(whole.of_gap.measure().estimate, abs=1e-4)
    assert "feature of the dictionary seed0" in features.measure().method.granularity


def test_features_are_not_scrubbed(featured: Model) -> None:
    run = featured.on(gifts())
    for hypothesis, within in (
        ({f"{AT}.F3@end": "giver"}, None),
        ({"L2.H2@end": "giver"}, f"{AT}.F* | L2.H*"),
        ({f"L0.H1 -> {AT}.F3": "giver"}, None),
    ):
        with pytest.raises(
            MethodError, match=f"scrub takes components, and .*{AT}.F.* is of a dictionary: scrub {AT}, or"
        ):
            run.scrub(hypothesis, within=within)
