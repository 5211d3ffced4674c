"""What a search for a pair that breaks a claim has tried and found: the words that every report has for it.

>>> pairs_tried(192, 6720, 1)
'192 of 6,720 pairs tried, 1 breaks the claim'
"""

from circuitcheck.texts import plural


def pairs_tried(tried: int, of: int | None, failing: int) -> str:
    """How many pairs were tried (``of`` how many, None where they cannot be counted), and how many break the claim."""
    many = plural(tried, "pair") if of is None else f"{tried:,} of {plural(of, 'pair')}"
    return f"{many} tried, {failing:,} {'breaks' if failing == 1 else 'break'} the claim"


def known_before(failing: int, loosened: int, fixed: int) -> str:
    """What became of counterexamples that were known before; empty where there were none."""
    words = []
    if failing:
        words.append(f"{failing} known before {'fails' if failing == 1 else 'fail'} still")
    if fixed:
        words.append(f"{fixed} known before {'is' if fixed == 1 else 'are'} fixed")
    if loosened:
        verb, they = ("breaks", "it was") if loosened == 1 else ("break", "they were")
        words.append(f"{loosened} known before {verb} the stricter threshold that {they} found under still")
    return "".join(f"; {one}" for one in words)
