"""How the bundled model was made: its words, corpus, tokenizer, training and card."""
