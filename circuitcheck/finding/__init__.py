"""From a question to a claim: what may be worth claiming."""
