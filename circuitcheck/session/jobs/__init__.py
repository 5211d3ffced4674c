"""Pytest plugins of ``circuitcheck gather``: which jobs there are, and what is run in one."""
