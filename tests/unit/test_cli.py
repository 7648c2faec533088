"""What the command line does before a command: settings of the project, as defaults of the commands that share them."""

from pathlib import Path
from typing import Any

import pytest

from pinchpoint import cli


def test_settings_go_to_the_commands_that_share_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But not the workers to a sweep, which varies them, nor one run's budget to a checklist, which is several runs."""
    (tmp_path / "pyproject.toml").write_text('[tool.pinchpoint]\nbudget = "60s"\nworkers = 3\n')
    monkeypatch.chdir(tmp_path)
    called: list[dict[str, Any]] = []
    monkeypatch.setattr(cli, "app", lambda **values: called.append(values["default_map"]))

    with pytest.raises(SystemExit) as ended:
        cli.main(["checklist"])

    assert ended.value.code == 0
    assert called == [
        {
            "run": {"budget": "60s", "workers": 3},
            "soak": {"budget": "60s", "workers": 3},
            "sweep": {"budget": "60s"},
            "checklist": {"workers": 3},
        }
    ]
