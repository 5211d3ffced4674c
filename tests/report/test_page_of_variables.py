"""Variables by site on the page of --circuit-html."""

import random
from typing import Any

from tests.report.page_reading import one_claim, page_of, read
from tests.some_claims import effect


def interchange(site: str, variable: str, estimate: float) -> dict[str, Any]:
    made = effect(random.Random(site + variable))
    method = made["method"] | {"verb": "interchange", "component": site, "direction": f"{variable} from the source"}
    label = f"interchange {variable} at {site}"
    return made | {"label": label, "unit": "right pairs", "estimate": estimate, "method": method}


def test_each_site_has_its_variables_and_leads_to_its_claims() -> None:
    found = [("L2.H2@end", "giver", 0.9), ("L2.H2@end", "order", 0.3), ("L1.ATTN@end", "order", 0.0)]
    made = [
        one_claim(nodeid=f"test_file.py::test_{number}", test="", effects=[interchange(*one)], outcome="passed")
        for number, one in enumerate(found)
    ]
    text = page_of(made)
    assert "What components carry" in text
    [table] = [
        one
        for one in read(text).all("table")
        if "giver" in one.text and "L1.ATTN@end" in one.text and one.attributes.get("id") != "claims"
    ]
    rows = [row.text for row in table.all("tr")]
    assert [name in rows[0] for name in ("giver", "order")] == [True, True]
    cells = [link.text.split()[-1] for link in table.all("a")]
    assert cells == ["0.9", "0.3", "0"]
    assert all(link.attributes["href"].startswith("#") for link in table.all("a"))


def test_a_page_without_interchanges_says_nothing_of_them() -> None:
    assert "What components carry" not in page_of([one_claim()])
