"""Field locks: whoever touches a field has what its letters ask for, or is told what he lacks."""

from contextlib import ExitStack, contextmanager
from functools import partial

import pytest

import verdicts
import vmsmp
from vmsmp.vm.vm_object import (
    OBJ_DEAD,
    OBJECT_LEGEND,
    VmObject,
    vm_object_allocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_hold_shared,
)
from vmsmp.vm.vm_page import (
    PAGE_LEGEND,
    PG_MAPPEDMULTI,
    PG_NEED_COMMIT,
    PG_REFERENCED,
    PG_UNQUEUED,
    PG_WRITEABLE,
    QUEUE_LEGEND,
    VM_ALLOC_NORMAL,
    VmPage,
    Vpgqueues,
    vm_page_activate,
    vm_page_alloc,
    vm_page_and_queue_spin_lock,
    vm_page_busy_wait,
    vm_page_deactivate,
    vm_page_flag_clear,
    vm_page_flag_set,
    vm_page_free,
    vm_page_rename,
    vm_page_sbusy_drop,
    vm_page_sbusy_try,
    vm_page_set_valid,
    vm_page_unqueue_nowakeup,
    vm_page_wakeup,
    vm_page_zero_invalid,
)

HARD = "the page hard-busied by the caller"
BUSY = "the page soft- or hard-busied by the caller or by I/O"
SPIN = "m.spin, exclusively"
QUEUE_SPIN = "the spinlock of the page's queue"
TOKEN = "the object's token, exclusively"
ANY_TOKEN = "the object's token"
TOKEN_OR_NEW = f"{TOKEN}, or an object that is on no list"
BUCKET = "the token of the object's bucket, exclusively"
silent = partial(verdicts.silent, schedules=10)


def found(program, message, **options):
    return verdicts.found(program, "field-lock", message, **{"schedules": 300, **options})


class Stage:
    """A machine with an object's valid active page, and one in no object, neither of them busied."""

    def __init__(self, m):
        self.vm = vm = m.boot(pages=4, l2_size=1)
        self.obj, self.other = vm_object_allocate(vm, 4), vm_object_allocate(vm, 4)
        vm_object_hold(self.obj)
        self.page = vm_page_alloc(vm, self.obj, 0, VM_ALLOC_NORMAL)
        vm_page_zero_invalid(self.page)
        vm_object_drop(self.obj)
        self.loner = vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL)
        for page in (self.page, self.loner):
            vm_page_activate(page)
            vm_page_wakeup(page)
        self.queue = vm.page.vm_page_queues[vm.page.PQ_ACTIVE]

    @contextmanager
    def _busied(self, page):
        vm_page_busy_wait(page, False)
        yield
        vm_page_wakeup(page)

    @contextmanager
    def _soft_busied(self):
        assert not vm_page_sbusy_try(self.page)
        yield
        vm_page_sbusy_drop(self.page)

    @contextmanager
    def _writeable(self):
        vm_page_flag_set(self.page, PG_WRITEABLE)
        yield
        vm_page_flag_clear(self.page, PG_WRITEABLE)

    @contextmanager
    def _locked(self, hold, obj):
        hold(obj)
        yield
        vm_object_drop(obj)

    @contextmanager
    def _list_shared(self):
        self.obj.backing_lk.acquire_shared()
        yield
        self.obj.backing_lk.release()

    @contextmanager
    def _spin_shared(self):
        self.page.spin.acquire_shared()
        yield
        self.page.spin.release()

    def holding(self, letters):
        """Hold what the letters name: B and b busies of the page, L that of the one in no object, O and
        o the token, X another object's, S and Q the spinlocks (s shared), W a writeable mapping, K and k the
        lock of the backing list, H the token of the object's bucket."""
        ways = {
            "B": lambda: self._busied(self.page),
            "L": lambda: self._busied(self.loner),
            "b": self._soft_busied,
            "W": self._writeable,
            "O": lambda: self._locked(vm_object_hold, self.obj),
            "o": lambda: self._locked(vm_object_hold_shared, self.obj),
            "X": lambda: self._locked(vm_object_hold, self.other),
            "S": lambda: self.page.spin,
            "s": self._spin_shared,
            "Q": lambda: self.queue.spin,
            "K": lambda: self.obj.backing_lk,
            "k": self._list_shared,
            "H": lambda: self.obj.peek("object_entry").token,
        }
        stack = ExitStack()
        for letter in letters:
            stack.enter_context(ways[letter]())
        return stack


def rewrite(stage, what, field):
    """Write the value that is there."""
    thing = getattr(stage, what)
    setattr(thing, field, thing.peek(field))


def read(stage, what, field):
    getattr(getattr(stage, what), field)


#: (access, record, field): what it is called, what the report asks for, what is enough, what is too little.
RULES = {
    (read, "page", "queue"): ("pg", f"{SPIN}, or {QUEUE_SPIN}", ["S", "Q"], ["", "B", "O", "s"]),
    (rewrite, "page", "queue"): ("pg", f"{SPIN} and {QUEUE_SPIN}", ["SQ"], ["", "S", "Q", "sQ", "OB"]),
    (read, "page", "tqe_next"): ("pg", QUEUE_SPIN, ["Q"], ["", "S", "B"]),
    (rewrite, "page", "tqe_next"): ("pg", QUEUE_SPIN, ["Q", "SQ"], ["", "S", "B"]),
    (read, "page", "tqe_prev"): ("pg", QUEUE_SPIN, ["Q"], ["", "S", "B"]),
    (rewrite, "page", "tqe_prev"): ("pg", QUEUE_SPIN, ["Q", "SQ"], ["", "S", "B"]),
    (read, "page", "object"): (
        "pg",
        f"{BUSY}, or {ANY_TOKEN}, or {SPIN}",
        ["B", "b", "O", "o", "S"],
        ["", "Q", "s", "L", "X"],
    ),
    (rewrite, "page", "object"): (
        "pg",
        f"{HARD} and {TOKEN}",
        ["OB", "OBS"],
        ["", "B", "O", "Ob", "oB", "XB", "SQ"],
    ),
    (read, "page", "pindex"): (
        "pg",
        f"{BUSY}, or {ANY_TOKEN}, or {SPIN}",
        ["B", "b", "O", "o", "S"],
        ["", "Q", "s", "L", "X"],
    ),
    (rewrite, "page", "pindex"): (
        "pg",
        f"{HARD} and {TOKEN}, or {HARD} and a page in no object",
        ["OB"],
        ["", "B", "O", "Ob", "oB", "XB", "SQ"],
    ),
    (rewrite, "loner", "pindex"): (
        "pg",
        f"{HARD} and {TOKEN}, or {HARD} and a page in no object",
        ["L"],
        ["", "B", "O"],
    ),
    (read, "page", "valid"): (
        "pg",
        f"{BUSY}, or {ANY_TOKEN}, or {SPIN}",
        ["B", "b", "O", "o", "S"],
        ["", "Q", "s", "L", "X"],
    ),
    (rewrite, "page", "valid"): ("pg", HARD, ["B"], ["", "b", "O", "SQ"]),
    (read, "page", "dirty"): ("pg", "", [""], []),
    (rewrite, "page", "dirty"): (
        "pg",
        f"{HARD}, or PG_WRITEABLE set, or the page soft-busied by I/O",
        ["B", "W"],
        ["", "b", "O", "SQ"],
    ),
    (read, "page", "act_count"): ("pg", "", [""], []),
    (rewrite, "page", "act_count"): ("pg", "", [""], []),
    (read, "obj", "rb_memq"): ("obj", ANY_TOKEN, ["O", "o"], ["", "B", "S"]),
    (rewrite, "obj", "rb_memq"): ("obj", TOKEN, ["O"], ["", "o", "B"]),
    (read, "obj", "resident_page_count"): ("obj", "", [""], []),
    (rewrite, "obj", "resident_page_count"): ("obj", TOKEN, ["O"], ["", "o", "B"]),
    **{(read, "obj", name): ("obj", "", [""], []) for name in ("type", "size", "handle", "object_entry")},
    **{
        (rewrite, "obj", name): ("obj", TOKEN_OR_NEW, ["O"], ["", "o", "B", "K"])
        for name in ("type", "size", "handle")
    },
    (rewrite, "obj", "object_entry"): ("obj", BUCKET, ["H"], ["", "O", "K"]),
    (read, "obj", "backing_list"): ("obj", "backing_lk", ["K", "k"], ["", "O"]),
    (rewrite, "obj", "backing_list"): ("obj", "backing_lk, exclusively", ["K"], ["", "k", "O"]),
    (read, "obj", "swblock_root"): ("obj", ANY_TOKEN, ["O", "o"], ["", "K"]),
    (rewrite, "obj", "swblock_root"): ("obj", TOKEN, ["O"], ["", "o", "K"]),
    (read, "obj", "swblock_count"): ("obj", "", [""], []),
    (rewrite, "obj", "swblock_count"): ("obj", TOKEN, ["O"], ["", "o", "K"]),
    (read, "queue", "tqh_first"): ("pq.active", "the queue's spinlock", ["Q"], ["", "S"]),
    (rewrite, "queue", "tqh_first"): ("pq.active", "the queue's spinlock", ["Q"], ["", "S"]),
    (read, "queue", "tqh_last"): ("pq.active", "the queue's spinlock", ["Q"], ["", "S"]),
    (rewrite, "queue", "tqh_last"): ("pq.active", "the queue's spinlock", ["Q"], ["", "S"]),
    (read, "queue", "lcnt"): ("pq.active", "the queue's spinlock", ["Q"], ["", "S"]),
    (rewrite, "queue", "lcnt"): ("pq.active", "the queue's spinlock", ["Q"], ["", "S"]),
    (read, "queue", "adds"): ("pq.active", "", [""], []),
    (rewrite, "queue", "adds"): ("pq.active", "the queue's spinlock", ["Q"], ["", "S"]),
    (read, "queue", "lastq"): ("pq.active", "", [""], []),
    (rewrite, "queue", "lastq"): ("pq.active", "", [""], []),
}
ENOUGH = [(*key, letters) for key, (_, _, enough, _) in RULES.items() for letters in enough]
TOO_LITTLE = [(*key, letters) for key, (_, _, _, little) in RULES.items() for letters in little]


def named(cases):
    return [
        pytest.param(*case, id="-".join([case[0].__name__, *case[1:3], case[3] or "nothing"]))
        for case in cases
    ]


def accessing(access, what, field, letters):
    def program(m):
        stage = Stage(m)

        def worker():
            with stage.holding(letters):
                access(stage, what, field)

        m.spawn(worker)
        m.join()

    return program


@pytest.mark.parametrize(("access", "what", "field", "letters"), named(TOO_LITTLE))
def test_a_field_touched_without_what_its_letters_ask_for_is_found(access, what, field, letters):
    klass, needs, _, _ = RULES[access, what, field]
    done = "read" if access is read else "written"
    found(accessing(access, what, field, letters), f"{klass}.{field} {done} without {needs}")


@pytest.mark.parametrize(("access", "what", "field", "letters"), named(ENOUGH))
def test_a_field_touched_with_what_its_letters_ask_for_is_right(access, what, field, letters):
    silent(accessing(access, what, field, letters), schedules=3)


# -- bits of words --------------------------------------------------------------------------------

ALONE = "the page hard-busied by the caller, and soft-busied by nobody"
IDLE = "a fictitious page that nobody busies"

#: (record, bits of its flags): what the report calls them and asks for, what is enough, what is too little.
BITS = {
    ("page", PG_UNQUEUED): (
        "pg.flags PG_FICTITIOUS|PG_UNQUEUED",
        f"{ALONE}, or {IDLE}",
        ["B"],
        ["", "b", "OSQ"],
    ),
    ("page", PG_NEED_COMMIT): ("pg.flags PG_SWAPPED|PG_NEED_COMMIT", HARD, ["B"], ["", "b", "O"]),
    ("page", PG_MAPPEDMULTI): ("pg.flags PG_MAPPEDMULTI", BUSY, ["B", "b"], ["", "O", "S"]),
    ("obj", OBJ_DEAD): ("obj.flags 0x8", TOKEN, ["O"], ["", "o", "K"]),
}


def flipping(what, bits, letters):
    def program(m):
        stage = Stage(m)

        def worker():
            with stage.holding(letters):
                flags = getattr(stage, what).flags
                with m.step():  # no rule of states sees what is set
                    flags.setbits(bits)
                    flags.clearbits(bits)

        m.spawn(worker)
        m.join()

    return program


@pytest.mark.parametrize(("key", "letters"), [(key, held) for key, rule in BITS.items() for held in rule[3]])
def test_a_bit_changed_without_what_its_letters_ask_for_is_found(key, letters):
    name, needs, _, _ = BITS[key]
    found(flipping(*key, letters), f"{name} written without {needs}")


@pytest.mark.parametrize(("key", "letters"), [(key, held) for key, rule in BITS.items() for held in rule[2]])
def test_a_bit_changed_with_what_its_letters_ask_for_is_right(key, letters):
    silent(flipping(*key, letters), schedules=3)


def test_a_bit_without_a_lock_may_be_changed_by_anybody():
    silent(flipping("page", PG_REFERENCED, ""), schedules=3)


def test_the_rules_here_cover_all_bits_that_ask_for_something():
    things = {"page": VmPage, "obj": VmObject, "queue": Vpgqueues}
    declared = {
        (what, bits.mask)
        for what, record in things.items()
        for field in record.fields.values()
        for bits in field.bits
        if bits.write
    }
    asked = {
        (what, b.mask) for what, mask in BITS for b in things[what].fields["flags"].bits if b.mask & mask
    }
    assert declared == asked


def test_the_rules_here_cover_every_field_that_names_a_lock():
    things = {"page": VmPage, "obj": VmObject, "queue": Vpgqueues}
    declared = {
        (access, what, name)
        for what, record in things.items()
        for name, field in record.fields.items()
        if not field.atomic
        for access in (read, rewrite)
    }
    assert declared == {key for key in RULES if key[1] != "loner"}


@pytest.mark.parametrize("record", [VmPage, VmObject, Vpgqueues], ids=lambda record: record.__name__)
def test_every_letter_of_a_field_is_in_its_record_s_legend_and_every_other_one_is_used(record):
    letters = "".join(f.read + f.write + f.still for f in record.fields.values())
    letters += "".join(bits.still + bits.write for f in record.fields.values() for bits in f.bits)
    assert set(record.legend) - {"C"} == set(letters) - set("+|")


def test_the_letter_of_what_is_constant_allows_nobody_anything():
    asked = []

    def program(m):
        stage = Stage(m)

        def worker():
            with stage.holding("OBSQ"):
                asked.append(PAGE_LEGEND["C"].holds(m.curcpu, stage.page))

        m.spawn(worker)
        m.join()

    silent(program, schedules=1)
    assert [False] == asked


#: For each letter what holds it, and what comes close.
LETTERS = {
    "B": ("B", ["", "b", "L", "OSQ"]),
    "b": ("bB", ["", "L", "OSQ"]),
    "O": ("O", ["", "o", "X", "BSQ"]),
    "o": ("oO", ["", "X", "BSQ"]),
    "S": ("S", ["", "s", "OBQ"]),
    "Q": ("Q", ["", "OBS"]),
    "W": ("W", ["", "OBSQ"]),
}


@pytest.mark.parametrize("letter", LETTERS)
def test_a_letter_holds_for_the_cpu_that_has_it_in_hand_and_for_no_other(letter):
    seen = []

    def program(m):
        stage = Stage(m)
        enough, little = LETTERS[letter]

        def worker():
            for held in (*enough, *little):
                with stage.holding(held):
                    seen.append(PAGE_LEGEND[letter].holds(m.curcpu, stage.page))
                    if letter != "W":  # a flag of the page is everybody's
                        seen.append(PAGE_LEGEND[letter].holds(m.cpus[0], stage.page))

        m.spawn(worker)
        m.join()

    silent(program, schedules=1)
    enough, little = LETTERS[letter]
    others = [] if letter == "W" else [False]
    assert [*([True, *others] * len(enough)), *([False, *others] * len(little))] == seen


def test_the_letter_of_a_page_in_no_object_is_about_the_page():
    seen = []

    def program(m):
        stage = Stage(m)
        seen[:] = [PAGE_LEGEND["N"].holds(m.curcpu, page) for page in (stage.page, stage.loner)]

    silent(program, schedules=1)
    assert [False, True] == seen


@pytest.mark.parametrize(
    ("letter", "legend"), [("T", OBJECT_LEGEND), ("t", OBJECT_LEGEND), ("Q", QUEUE_LEGEND)]
)
def test_the_letters_of_objects_and_queues_hold_for_the_holder_only(letter, legend):
    seen = []

    def program(m):
        stage = Stage(m)
        thing = stage.queue if legend is QUEUE_LEGEND else stage.obj

        def worker():
            for held in "OoQ":
                with stage.holding(held):
                    seen.append([legend[letter].holds(cpu, thing) for cpu in (m.curcpu, m.cpus[0])])

        m.spawn(worker)
        m.join()

    silent(program, schedules=1)
    holds = {"T": [True, False, False], "t": [True, True, False], "Q": [False, False, True]}
    expected = holds["Q" if legend is QUEUE_LEGEND else letter]
    assert [[mine, False] for mine in expected] == seen


# -- who is asked at all --------------------------------------------------------------------------


@pytest.mark.parametrize(("access", "what", "field", "letters"), named([c for c in TOO_LITTLE if not c[3]]))
def test_the_only_cpu_that_runs_needs_no_locks(access, what, field, letters):
    def program(m):
        stage = Stage(m)
        access(stage, what, field)
        m.spawn(lambda: None)
        m.join()
        access(stage, what, field)

    silent(program, schedules=3)


def test_the_boot_cpu_needs_locks_as_soon_as_another_runs():
    def program(m):
        stage = Stage(m)
        m.spawn(lambda: None)
        stage.page.valid = 0
        m.join()

    failure = found(program, f"pg.valid written without {HARD}", sched="rr", schedules=1)
    assert 0 == failure.cpu


def test_what_another_cpu_holds_is_of_no_help():
    def program(m):
        stage = Stage(m)
        with stage.holding("OB"):
            m.spawn(setattr, stage.page, "valid", 0).join()

    message = f"pg.valid written without {HARD}"
    found(program, message)
    assert message == vmsmp.run(program, engine="free").failure.message


def test_the_report_says_what_the_cpu_held_and_how_the_page_is():
    def program(m):
        stage = Stage(m)

        def worker():
            with stage.holding("oS"):
                stage.page.valid = 0

        m.spawn(worker, name="hasty")
        m.join()

    failure = found(program, f"pg.valid written without {HARD}")
    assert (
        "cpu1 hasty holds object hold obj[0], shared token 'obj[0].token', exclusive spinlock 'pg[3].spin'",
        "pg[3] is pq.active[0], obj[0]:0, busy 0, hold 0, wire 0, valid 0xff, dirty 0x0, 0",
    ) == failure.facts
    assert "worker" in failure.report()


def test_a_hint_and_a_store_that_races_by_design_need_no_lock():
    def program(m):
        stage = Stage(m)

        def worker():
            stage.page.hint("object")
            stage.page.publish("act_count", stage.page.hint("act_count"))
            stage.queue.hint("tqh_first")

        m.spawn(worker)
        m.spawn(worker)
        m.join()

    silent(program)


def test_without_checkers_nobody_asks():
    program = accessing(rewrite, "page", "valid", "")
    assert [] == vmsmp.explore(program, schedules=5, check=False).failures


# -- the kernel's functions, called without what they ask for -------------------------------------


def test_freeing_a_page_that_another_cpu_has_busied_is_found():
    def program(m):
        stage = Stage(m)
        vm_page_busy_wait(stage.page, False)
        m.spawn(vm_page_free, stage.page).join()

    found(program, f"pg.object read without {BUSY}, or {ANY_TOKEN}, or {SPIN}")


def test_zeroing_invalid_blocks_under_the_busy_of_another_cpu_is_found():
    def program(m):
        stage = Stage(m)
        vm_page_busy_wait(stage.page, False)
        m.spawn(vm_page_zero_invalid, stage.page).join()

    found(program, f"pg.valid read without {BUSY}, or {ANY_TOKEN}, or {SPIN}")


def test_setting_bits_valid_under_a_soft_busy_is_found():
    def program(m):
        stage = Stage(m)

        def reader():
            with stage.holding("b"):
                vm_page_set_valid(stage.page)

        m.spawn(reader)
        m.join()

    found(program, f"pg.valid written without {HARD}")


def test_renaming_a_page_that_another_cpu_has_busied_is_found():
    def program(m):
        stage = Stage(m)
        other = vm_object_allocate(stage.vm, 4)
        vm_page_busy_wait(stage.page, False)

        def thief():
            vm_object_hold(stage.obj)
            vm_object_hold(other)
            vm_page_rename(stage.page, other, 0)

        m.spawn(thief).join()

    found(program, f"pg.object written without {HARD} and {TOKEN}")


def test_renaming_a_page_as_its_owner_is_right():
    def program(m):
        stage = Stage(m)
        other = vm_object_allocate(stage.vm, 4)

        def owner():
            vm_object_hold(stage.obj)
            vm_object_hold(other)
            vm_page_busy_wait(stage.page, True)
            if stage.page.object is stage.obj:
                vm_page_rename(stage.page, other, 0)
            vm_page_wakeup(stage.page)
            vm_object_drop(other)
            vm_object_drop(stage.obj)

        m.spawn(owner)
        m.spawn(owner)
        m.join()

    silent(program, schedules=100)


def test_moving_a_page_without_its_queue_s_spinlock_is_found():
    def program(m):
        stage = Stage(m)

        def mover():
            with stage.page.spin:
                stage.page.queue = stage.vm.page.PQ_INACTIVE

        m.spawn(mover)
        m.join()

    found(program, f"pg.queue written without {SPIN} and {QUEUE_SPIN}")


def test_moving_a_page_with_the_spinlock_of_another_queue_is_found():
    def program(m):
        stage = Stage(m)

        def mover():
            with stage.page.spin, stage.vm.page.vm_page_queues[stage.vm.page.PQ_INACTIVE].spin:
                stage.page.queue = stage.vm.page.PQ_INACTIVE

        m.spawn(mover)
        m.join()

    found(program, f"pg.queue written without {SPIN} and {QUEUE_SPIN}")


def test_moving_pages_as_the_kernel_does_is_right():
    def program(m):
        stage = Stage(m)

        def mover(deed):
            with stage.holding("B"):
                deed(stage.page)

        for deed in (vm_page_deactivate, vm_page_activate, vm_page_unqueue_nowakeup):
            m.spawn(mover, deed)
        m.join()

    silent(program, schedules=150)
    silent(program, schedules=150, locks="exact")


def test_leaving_the_queue_s_spinlock_before_the_page_is_unlinked_is_found():
    def program(m):
        stage = Stage(m)

        def mover():
            vm_page_and_queue_spin_lock(stage.page)
            stage.queue.spin.release()
            stage.page.tqe_next = None

        m.spawn(mover)
        m.join()

    found(program, f"pg.tqe_next written without {QUEUE_SPIN}")


def test_looking_into_an_object_s_tree_without_its_token_is_found():
    def program(m):
        stage = Stage(m)
        m.spawn(lambda: stage.obj.rb_memq.get(0))
        m.join()

    found(program, f"obj.rb_memq read without {ANY_TOKEN}")


def test_changing_an_object_s_tree_with_its_token_shared_is_found():
    def program(m):
        stage = Stage(m)

        def worker():
            with stage.holding("o"):
                stage.obj.changing("rb_memq").pop(0)

        m.spawn(worker)
        m.join()

    found(program, f"obj.rb_memq written without {TOKEN}")
