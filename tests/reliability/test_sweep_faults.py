"""A few faults of each harmless kind and a cluster; ``fault_run.py`` has hundreds of all kinds."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

import fault_run
from separate import cluster

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc of Linux")


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    ground = fault_run.Ground(tmp_path_factory.mktemp("faults"), random.Random(1))
    yield ground
    if ground.mounted:
        subprocess.run(["umount", ground.disk], check=True)


def test_faults_lose_nothing_and_change_nothing(ground) -> None:
    for fault in (ground.kill_driver, ground.kill_worker, ground.damage_records, ground.repeat_results):
        fault()
        ground.audit()
    ground.complete()
    assert (ground.lost, ground.twice, ground.changed, ground.different) == (0, 0, 0, 0)


def test_a_cluster_gives_the_same_table(ground, require) -> None:
    require("distributed")
    with cluster() as (file, _, _):
        said = ground.end(ground.resume("--scheduler-file", file), {0, 1})
    ground.audit()
    assert len(ground.seen) == len(ground.cells), said
    assert ground.export(ground.run) == ground.table


def test_a_lost_result_would_be_seen(ground) -> None:
    ground.repeat_results()
    ground.audit()
    with fault_run.only_writer(ground.run), fault_run.Store(ground.run, ground.positions) as store:
        store.forget(list(ground.seen)[:2])
    ground.audit()
    assert ground.lost == 2
