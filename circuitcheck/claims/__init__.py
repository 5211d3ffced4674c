"""From per-pair numbers to verdicts: effects and their comparisons."""
