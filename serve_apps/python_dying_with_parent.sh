#!/bin/sh
# The interpreter multiprocessing starts for an engine: the kernel kills it when the thread that started it ends.
exec setpriv --pdeathsig KILL "$BIPLANE_PYTHON" "$@"
