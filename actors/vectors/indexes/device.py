"""The process's first GPU: whether there is one, and what lies on it.

FAISS's resources of a GPU are not safe under concurrent calls, so nothing shares them: each index has its own.
"""

from __future__ import annotations

from typing import Any

import faiss

SCRATCH_BYTES = 64 << 20
"""Of the device for each index: what a batch of some dozen queries takes, a larger one allocates the rest for itself.
FAISS would keep 1.5 GiB of the device for each, and 256 MiB of the host that only pages of queries go through.
"""


def present() -> bool:
    """Whether this build of FAISS knows GPUs and the process sees one."""
    return hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0


def cuvs() -> bool:
    """Whether it has CAGRA as well."""
    return present() and hasattr(faiss, "GpuIndexCagra")


def resources() -> Any:
    """For one index, which holds them from then on."""
    made = faiss.StandardGpuResources()
    made.setTempMemory(SCRATCH_BYTES)
    made.setPinnedMemory(0)
    return made


def copied(index: faiss.Index) -> faiss.Index:
    """RuntimeError or MemoryError where the GPU has not enough memory."""
    return faiss.index_cpu_to_gpu(resources(), 0, index)
