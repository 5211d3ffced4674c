"""Networks of known truth, and what calibrates verdicts on them."""
