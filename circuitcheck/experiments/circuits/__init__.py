"""Circuits with members taken out: completeness, minimality, agreement, independence."""
