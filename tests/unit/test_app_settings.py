"""The reference app's settings and what is prepared before it boots."""

from pathlib import Path

import pytest

from pinchpoint.app import boot
from pinchpoint.app.faults import DEFECTS, FAULTS
from pinchpoint.app.settings import async_database_url, load_settings

SECRET = "s" * 32


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start from an environment that names only what must be named."""
    for name in ("DATABASE_URL", "WEB_CONCURRENCY", "PINCHPOINT_APP_FAULT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PINCHPOINT_APP_RUN_DIR", str(tmp_path))
    monkeypatch.setenv("PINCHPOINT_APP_JWT_SECRET", SECRET)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgres://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
        ("postgresql://u:p%40@h:5/d?host=/s", "postgresql+asyncpg://u:p%40@h:5/d?host=%2Fs"),
        ("postgresql+psycopg://h/d", "postgresql+psycopg://h/d"),
        ("sqlite:////data/a.db", "sqlite+aiosqlite:////data/a.db"),
    ],
)
def test_a_database_url_gets_an_async_driver(given: str, used: str) -> None:
    """Every common spelling leads to a driver that does not block the loop."""
    assert async_database_url(given) == used


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("PINCHPOINT_APP_POOL_SIZE", "0", "PINCHPOINT_APP_POOL_SIZE: input should be greater than or equal to 1."),
        ("WEB_CONCURRENCY", "-1", "WEB_CONCURRENCY: input should be greater than or equal to 1."),
        ("DATABASE_URL", "mysql://h/d", "DATABASE_URL: names 'mysql'; use sqlite or postgresql."),
        (
            "DATABASE_URL",
            "sqlite://",
            "DATABASE_URL: must name a file: workers cannot share a database in memory.",
        ),
        ("PINCHPOINT_APP_JWT_SECRET", "short", "PINCHPOINT_APP_JWT_SECRET: must be at least 32 bytes long."),
        ("PINCHPOINT_APP_LOOP", "trio", "PINCHPOINT_APP_LOOP: input should be 'asyncio', 'uvloop' or 'auto'."),
        (
            "PINCHPOINT_APP_FAULT",
            "typo",
            f"PINCHPOINT_APP_FAULT: names no fault of this app: typo; known: {', '.join(sorted({*FAULTS, *DEFECTS}))}.",
        ),
    ],
)
def test_a_bad_value_ends_with_one_sentence_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, sentence: str
) -> None:
    """No traceback: the sentence is the exit."""
    monkeypatch.setenv(variable, value)

    with pytest.raises(SystemExit) as exit_info:
        load_settings()

    assert exit_info.value.code == sentence


def test_a_password_in_a_bad_url_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start-up messages end up in logs."""
    monkeypatch.setenv("DATABASE_URL", "postgresql:/u:hunter2@h/d")

    with pytest.raises(SystemExit) as exit_info:
        load_settings()

    assert "hunter2" not in str(exit_info.value)


def test_the_default_database_lies_in_the_run_folder(tmp_path: Path) -> None:
    """Nothing is written where the app was started from."""
    assert load_settings().url == f"sqlite+aiosqlite:///{tmp_path}/items.db"


def test_several_faults_are_named_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spaces and empty parts do no harm."""
    monkeypatch.setenv("PINCHPOINT_APP_FAULT", "leak, db-pool,")

    assert load_settings().fault == ("leak", "db-pool")


def test_a_secret_is_made_once_and_kept() -> None:
    """Workers must sign alike, boots must not."""
    first: dict[str, str] = {"PINCHPOINT_APP_RUN_DIR": "/tmp"}  # noqa: S108 - it exists, nothing is written
    boot.prepare(first)
    made = first["PINCHPOINT_APP_JWT_SECRET"]
    boot.prepare(first)
    second: dict[str, str] = {"PINCHPOINT_APP_RUN_DIR": "/tmp"}  # noqa: S108
    boot.prepare(second)

    assert len(made) >= 32
    assert first["PINCHPOINT_APP_JWT_SECRET"] == made
    assert second["PINCHPOINT_APP_JWT_SECRET"] != made


def test_a_new_master_empties_the_metrics_folder_and_a_reload_does_not(tmp_path: Path) -> None:
    """Figures of an earlier boot must not be counted; those of living workers must not be lost."""
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    (metrics / "counter_1.db").write_bytes(b"old")
    environ = {"PINCHPOINT_APP_RUN_DIR": str(tmp_path)}

    boot.prepare_master(environ)
    after_start = list(metrics.iterdir())
    (metrics / "counter_2.db").write_bytes(b"living")
    boot.prepare_master(environ)

    assert environ["PROMETHEUS_MULTIPROC_DIR"] == str(metrics)
    assert after_start == []
    assert [path.name for path in metrics.iterdir()] == ["counter_2.db"]
