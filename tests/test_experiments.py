"""The committed experiments can be run again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagal_dspy.settings import read_toml, run_settings

CONFIGS = sorted((Path(__file__).parent.parent / "experiments" / "configs").glob("*.toml"))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_run_of_a_config_has_settings_that_exist(config: Path) -> None:
    plan = read_toml(config)
    assert plan["seeds"]
    for run in plan["run"]:
        run_settings("grounded", "continuation", **run.get("settings", {}))
        assert {"table", "target", "rows"} <= run.keys()
