"""The search for a counterexample.

spaces.py           what can be searched: all combinations of the slots' fillers
strategies.py       or what a Hypothesis strategy generates
trials.py           pairs that were tried, in batches, each once
search.py           try pairs until one breaks the claim
adversaries.py      climb towards the threshold instead of drawing at random
shrinking.py        the most ordinary pair that breaks it
counterexamples.py  the files of those that were found

What a search drew is no sample: nothing here goes into an interval or a rate.
"""
