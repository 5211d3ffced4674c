"""Pictures as prompts: patches in the place of tokens, functions that draw in the place of templates."""
