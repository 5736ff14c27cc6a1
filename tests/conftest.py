"""Tests on machines that may be small or busy.

One BLAS thread: the matrices of tests are small, and waiting threads cost the most. For Hypothesis
a slow example is no failure.
"""

import os

from hypothesis import HealthCheck, settings

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

settings.register_profile(
    "busy", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("busy")
