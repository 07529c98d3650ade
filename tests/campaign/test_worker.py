"""What a worker process says of its jobs."""

from __future__ import annotations

import time

from vmsmp.campaign import worker
from vmsmp.campaign.worker import serve


class Talk:
    """A pipe with jobs in it; what is sent back is kept."""

    def __init__(self, *jobs):
        self.jobs = list(jobs)
        self.sent = []

    def recv(self):
        if not self.jobs:
            raise EOFError
        return self.jobs.pop(0)

    def send(self, said):
        self.sent.append(said)


class Sum:
    def do(self, alive):
        alive()
        return 2 + 2


class Long:
    """A job that shows so many signs of life, of which it needs to send but some."""

    def do(self, alive):
        for _ in range(5):
            alive()


class Bad:
    def do(self, alive):
        raise ValueError("no good")


def test_a_worker_says_that_it_begins_and_what_came_of_it():
    talk = Talk(Sum(), Sum())
    serve(talk)
    assert [None, (4, ""), None, (4, "")] == talk.sent


def test_signs_of_life_are_not_sent_too_often(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock) * worker.ALIVE_S / 2)
    talk = Talk(Long())
    serve(talk)
    assert (None, (None, "")) == (talk.sent[0], talk.sent[-1])
    assert 2 <= len(talk.sent) - 2 < 5


def test_a_job_that_raises_is_told_of_and_the_next_one_is_done():
    talk = Talk(Bad(), Sum())
    serve(talk)
    _, (result, error), _, (after, _) = talk.sent
    assert (None, "ValueError: no good", 4) == (result, error.splitlines()[-1], after)
