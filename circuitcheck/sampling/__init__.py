"""Which pairs a number is about, which prompts it is compared with, and what is remembered of them. No torch."""
