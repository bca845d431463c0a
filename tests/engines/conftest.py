"""Servers of tests may come to have the same port: what is known of one is nothing to the next."""

from __future__ import annotations

import pytest

from tagal_dspy.engines import service


@pytest.fixture(autouse=True)
def _no_known_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_services", {})
