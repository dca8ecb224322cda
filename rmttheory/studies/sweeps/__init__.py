"""Grids of cells over processes or a cluster, kept on disk so that nothing finished is lost or done twice."""

from rmttheory.studies.sweeps.costs import parse_memory
from rmttheory.studies.sweeps.driving import SweepRun, SweepWatcher, Where, resume_sweep, run_sweep
from rmttheory.studies.sweeps.executors import Workers, dask_workers, local_workers
from rmttheory.studies.sweeps.exporting import export_run, read_progress
from rmttheory.studies.sweeps.progress import Progress
from rmttheory.studies.sweeps.spec import ClaimCell, ExperimentCell, Sweep, SweepCell, parse_sweep, read_sweep

__all__ = [
    "ClaimCell",
    "ExperimentCell",
    "Progress",
    "Sweep",
    "SweepCell",
    "SweepRun",
    "SweepWatcher",
    "Where",
    "Workers",
    "dask_workers",
    "export_run",
    "local_workers",
    "parse_memory",
    "parse_sweep",
    "read_progress",
    "read_sweep",
    "resume_sweep",
    "run_sweep",
]
