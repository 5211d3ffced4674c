"""Jobs on several processes or machines, whose numbers come home to one store. Nothing is decided here."""
