"""What an intervention can change, run from the base run; nothing else is run again."""
