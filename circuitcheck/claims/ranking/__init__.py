"""Places among others: what an effect is compared with, and how a claim that it is the first, or among the first, is decided."""
