"""Sweeps and searches over what could be bought or configured."""
