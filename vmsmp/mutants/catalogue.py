"""The catalogue."""
from vmsmp.mutants.patch import Mutant
CATALOGUE: dict[str, Mutant] = {}
