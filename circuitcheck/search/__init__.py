"""The search for a counterexample.

combinations.py     what can be searched: all combinations of the slots' fillers, shrunk to the most ordinary
strategies.py       or what a Hypothesis strategy generates
trials.py           pairs that were tried, in batches, each once
search.py           try pairs until one breaks the claim
adversaries.py      climb towards the threshold instead of drawing at random

What a search drew is no sample: nothing here goes into an interval or a rate.
"""
