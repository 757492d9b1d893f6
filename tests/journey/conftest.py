"""Fixtures of the journeys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.journey.kernels import KINDS, Kernel, started


@pytest.fixture(scope="module", params=KINDS)
def bare_kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel of each kind for a module's tests."""
    with started(request.param, tmp_path_factory.mktemp(request.param)) as kernel:
        yield kernel
