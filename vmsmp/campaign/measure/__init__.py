"""Measurements: what the engines cost, as ratios to this machine's own limits found in the same run."""
