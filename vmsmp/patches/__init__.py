"""Patches beside the code: mutants remove a guard of the kernel's, repairs close a known finding.

Model code carries no switch for either.  A run under a mutant or a repair executes changed code objects.
"""
