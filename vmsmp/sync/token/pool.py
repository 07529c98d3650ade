"""Pool tokens: tokens for objects without one of their own, found by a hash of the object's address.

Deviation: instead of the address an ident's identity is hashed, a whole number itself, or a checksum of
its text, so that no run depends on where an object lies in memory.
"""

from __future__ import annotations

from typing import Any, Final

from vmsmp.sync.ident import ident_key
from vmsmp.sync.services import Services
from vmsmp.sync.token.lock import Token

LWKT_NUM_POOL_TOKENS: Final = 16384
#: The moduli of the two halves of the hash.
LOW_MODULUS: Final = 66555444443333333
HIGH_MODULUS: Final = 989042931893


def lwkt_token_pool_hash(address: int) -> int:
    """The slot of the pool that an address hashes to."""
    low = (address + (address >> 18)) % LOW_MODULUS
    high = ((address >> 8) + (address >> 24)) % HIGH_MODULUS
    return (low ^ high) & (LWKT_NUM_POOL_TOKENS - 1)


def lwkt_token_pool_lookup(machine: Services, ident: Any) -> Token:
    """The pool token that `ident` hashes to."""
    tok: Token = machine.pool_token_of(lwkt_token_pool_hash(ident_key(ident)))
    return tok


def lwkt_getpooltoken(machine: Services, ident: Any) -> Token:
    """Take the pool token that `ident` hashes to, exclusively, and return it.  Sleeps: as `lwkt_gettoken`."""
    tok = lwkt_token_pool_lookup(machine, ident)
    tok.acquire()
    return tok


def lwkt_relpooltoken(machine: Services, ident: Any) -> None:
    """Release the pool token that `ident` hashes to."""
    lwkt_token_pool_lookup(machine, ident).release()
