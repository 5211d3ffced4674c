"""Hook points and what is written at them, in plain hooked runs."""
