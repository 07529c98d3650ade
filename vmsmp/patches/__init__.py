"""Patches to the model: a mutant removes one of the kernel's guards, a repair fixes a known finding.

Model code has no switches for either.  A run under a mutant or a repair executes changed code objects.
"""
