"""What a circuit is made of, as users write it: sites, circuits, and graphs of who hears whom."""
