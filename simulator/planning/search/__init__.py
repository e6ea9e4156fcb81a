"""Layouts enumerated, pruned by memory, priced by the closed form in arrays, and re-ranked by replay."""
