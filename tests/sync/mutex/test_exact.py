"""The exact mutex: words that nobody else uses, and the kernel's functions behind the methods."""

import pytest

from lock_runs import alone


@pytest.mark.parametrize(
    ("calls", "word"),
    [
        (["lock"], "EX|1"),
        (["lock", "lock"], "EX|2"),
        (["lock_shared"], "1"),
        (["lock_shared", "lock_shared"], "2"),
        (["try_lock"], "EX|1"),
        (["try_lock", "try_lock"], "EX|2"),
        (["try_lock_shared"], "1"),
        (["lock_shared", "try_upgrade"], "EX|1"),
        (["lock", "downgrade"], "1"),
        (["lock", "lock", "downgrade"], "2"),
        (["lock", "unlock"], "0"),
        (["lock", "lock", "unlock"], "EX|1"),
        (["lock_shared", "unlock"], "0"),
    ],
)
def test_the_word_after_requests_of_a_cpu_that_is_alone(calls, word):
    def program(m, seen):
        mtx = m.mutex("mtx")
        for call in calls:
            getattr(mtx, call)()
        seen.append(mtx.mtx_lock.state())
        while mtx.held():
            mtx.unlock()

    assert [word] == alone(program)
