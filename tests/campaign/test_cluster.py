"""Batches on a cluster: on a local one of two processes, the campaign is the same."""

from __future__ import annotations

import asyncio
import builtins
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from stores import seen
from vmsmp.campaign.batch import Batch
from vmsmp.campaign.cluster import Cluster, do_in, end_here
from vmsmp.campaign.code import code_name
from vmsmp.campaign.stress import Means, run_campaign
from vmsmp.campaign.way import Way
from vmsmp.errors import UsageError
from vmsmp.library import find_scenario

WAY = Way("controlled", "exact")
BATCH = Batch("spin_upgrade", WAY, 0, 3, WAY.options_for(find_scenario("spin_upgrade"), (), ()))


def test_without_the_extra_a_cluster_is_refused_in_a_line(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **more):
        if name == "distributed":
            raise ImportError(name)
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match="needs the extra 'cluster'"):
        Cluster("tcp://127.0.0.1:1")


@pytest.fixture
def dask_worker():
    """Something that keeps crews."""
    worker = SimpleNamespace(vmsmp_crews={})
    yield worker
    asyncio.run(end_here(worker))


def test_a_machine_with_other_code_does_nothing(dask_worker):
    ended = do_in(dask_worker.vmsmp_crews, BATCH, "other", None)
    assert ("its machine has other code than the campaign", None) == (ended.error, ended.result)


def test_jobs_are_done_in_a_process_that_is_kept_until_the_end(dask_worker):
    crews = dask_worker.vmsmp_crews
    for _ in range(2):
        ended = do_in(crews, BATCH, code_name(), None)
        assert (3, "") == (ended.result.executions, ended.error)
    assert [1] == [idle.qsize() for idle in crews.values()]
    asyncio.run(end_here(dask_worker))
    assert [0] == [idle.qsize() for idle in crews.values()]


# -- a local cluster ------------------------------------------------------------------------------

needs_dask = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, scheduler_port=0
    ) as made:
        yield made


@needs_dask
@pytest.mark.ci
def test_a_campaign_on_a_cluster_comes_to_what_one_on_this_machine_does(cluster, tmp_path):
    glob, options = "spin_writers_queue", {"seconds": None, "schedules": 8, "mutants": ("SP-05",)}
    there = run_campaign(
        glob, Means(2, store=tmp_path / "there", cluster=cluster.scheduler_address), **options
    )
    here = run_campaign(glob, Means(1, store=tmp_path / "here"), **options)
    assert ([], [], here.executions[0]) == (there.errors, here.errors, there.executions[0])
    assert seen(tmp_path / "here") == seen(tmp_path / "there")
    assert seen(tmp_path / "here")[1]
    while any(children_of(worker.pid) for worker in cluster.workers.values()):
        time.sleep(0.05)


def children_of(process):
    """The processes of ours that a dask worker has."""
    found = []
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += (
                [child] if b"vmsmp.campaign.worker" in Path(f"/proc/{child}/cmdline").read_bytes() else []
            )
    return found


@needs_dask
@pytest.mark.nightly
def test_a_batch_whose_machine_is_lost_goes_to_another_one(cluster, tmp_path):
    fleet = Cluster(cluster.scheduler_address)
    try:
        long = Batch("spin_upgrade", WAY, 0, 3_000, BATCH.options)
        fleet.begin(long)
        while not (busy := [who for who, what in fleet._client.processing().items() if what]):
            assert [] == fleet.wait(0.05)
        process = (
            cluster.scheduler.workers[busy[0]].extra.get("pid")
            or fleet._client.run(os.getpid, workers=[busy[0]])[busy[0]]
        )
        os.kill(process, signal.SIGKILL)
        ended = []
        while not ended:
            ended = fleet.wait(1.0)
        assert (3_000, "") == (ended[0].result.executions, ended[0].error)
    finally:
        fleet.stop()


@needs_dask
def test_an_address_where_nobody_is_is_refused_in_a_line(monkeypatch):
    pytest.importorskip("distributed", reason="dask.distributed is not installed")
    monkeypatch.setattr("vmsmp.campaign.cluster.ANSWER_S", 0.5)
    with pytest.raises(UsageError, match="no scheduler answers at 'tcp:"):
        Cluster("tcp://127.0.0.1:1")
