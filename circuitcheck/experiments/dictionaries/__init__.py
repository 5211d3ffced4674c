"""How well a dictionary fits what it is attached to."""
