"""Pool tokens: found by a hash of the ident."""

import pytest

import vmsmp
from lock_runs import DEPTHS, alone, failure_of
from vmsmp.sync.token import lwkt_getpooltoken, lwkt_relpooltoken, lwkt_token_pool_lookup
from vmsmp.sync.token.pool import LWKT_NUM_POOL_TOKENS, lwkt_token_pool_hash


@pytest.mark.parametrize(
    ("address", "slot"),
    [
        (0, 0),
        (1, 1),
        (0x40, 0x40),
        (0x100, 0x101),  # the high half has it, too
        (1 << 18, (1 << 10) ^ 1),  # 2**18 + 1 low and 2**10 high, of which 14 bits stay
        (1 << 24, (1 << 6) ^ (1 << 16) + 1 & 0x3FFF),
    ],
)
def test_the_hash_mixes_low_and_high_bits_of_the_address(address, slot):
    assert slot == lwkt_token_pool_hash(address)


def test_every_kernel_address_has_a_slot_of_the_pool():
    slots = {lwkt_token_pool_hash(0xFFFFF800_0000_0000 + n * 64) for n in range(4 * LWKT_NUM_POOL_TOKENS)}
    assert slots <= set(range(LWKT_NUM_POOL_TOKENS))


def test_neighbours_are_spread_over_the_pool():
    slots = [lwkt_token_pool_hash(0xFFFFF800_0000_0000 + n * 256) for n in range(4096)]
    assert len(set(slots)) > 1024


@DEPTHS
@pytest.mark.parametrize("ident", [4711, "a name", ("a", 1)])
def test_looking_up_takes_nothing_and_finds_the_same_token_again(locks, ident):
    def program(m, seen):
        token = lwkt_token_pool_lookup(m, ident)
        seen.append((token is lwkt_token_pool_lookup(m, ident), token.held()))

    assert [(True, False)] == alone(program, locks)


@DEPTHS
def test_a_release_by_ident_releases_what_a_get_by_ident_took(locks):
    def program(m, seen):
        token = lwkt_getpooltoken(m, "page 7")
        seen.append(token.held())
        lwkt_relpooltoken(m, "page 7")
        seen.append(token.held())

    assert [True, False] == alone(program, locks)


@DEPTHS
def test_a_release_by_an_ident_that_hashes_elsewhere_panics(locks):
    def program(m):
        lwkt_getpooltoken(m, 1)
        lwkt_relpooltoken(m, 2)

    assert failure_of(program, locks, schedules=1).message.startswith("panic: lwkt_reltoken: illegal release")


@DEPTHS
def test_equal_idents_get_the_same_pool_token_taken(locks):
    def program(m, seen):
        first = m.pool_token("some ident")
        second = m.pool_token("some ident")
        seen.append((first is second, first.held()))
        second.release()
        first.release()
        seen.append(first.held())

    assert [(True, True), False] == alone(program, locks)


@DEPTHS
def test_pool_tokens_of_two_machines_are_apart(locks):
    pools = []

    def program(m):
        token = m.pool_token("x")
        pools.append(token)
        token.release()

    vmsmp.explore(program, schedules=2, locks=locks)
    assert pools[0] is not pools[1]
