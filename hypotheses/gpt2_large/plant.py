"""Build a GPT-2-Large in which the neuron and the head of these claims carry known shares.

python hypotheses/gpt2_large/plant.py FOLDER TOKENIZER     (TOKENIZER: a folder, or a name in the local cache)
"""

import sys

from nouns import CONSONANTS, VOWELS
from transformers import GPT2TokenizerFast

from circuitcheck.reference_models.planted_gpt2 import planted_gpt2

folder, tokenizer = sys.argv[1:]
try:
    words = GPT2TokenizerFast.from_pretrained(tokenizer, local_files_only=True)
except OSError:
    sys.exit(f"there is no tokenizer at {tokenizer}: name a folder that holds GPT-2's, or 'gpt2' where it is cached")
planted_gpt2(words, VOWELS, CONSONANTS).save(folder)
