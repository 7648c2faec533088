"""The page between the probe and its reader: whole or not at all."""

import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.monitoring.pages import Page, PageReader, TornPageError, parse_page
from pinchpoint.monitoring.probe.layout import FIELDS, HEADER, MAGIC, PAGE_BYTES, VALUES, VERSION
from pinchpoint.monitoring.probe.page import PageFile

VALUES_OF_FIELDS = st.dictionaries(st.sampled_from(FIELDS), st.floats(allow_nan=False))


def body(sequence: int = 2, *, magic: bytes = MAGIC, version: int = VERSION, count: int = len(FIELDS)) -> bytes:
    """Build a page with every field 1."""
    return HEADER.pack(magic, version, count, sequence, 7, 5.0) + VALUES.pack(*[1.0] * len(FIELDS))


@given(fields=VALUES_OF_FIELDS, published_s=st.floats(allow_nan=False, allow_infinity=False))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, float], published_s: float
) -> None:
    """Every available field comes back; unavailable ones are left out."""
    folder = tmp_path_factory.mktemp("pages")
    PageFile(str(folder), 7).write(fields, published_s)
    reader = PageReader(folder)
    assert reader.read() == {7: Page(7, published_s, fields)}
    reader.close()


def test_the_newest_of_many_writes_is_read(tmp_path: Path) -> None:
    """The sequence goes on past one byte."""
    page, reader = PageFile(str(tmp_path), 7), PageReader(tmp_path)
    for number in range(300):
        page.write({"requests_done": number}, float(number))
        assert reader.read()[7].fields == {"requests_done": number}
    reader.close()


def test_nan_means_unavailable(tmp_path: Path) -> None:
    """A NaN is never handed on as a number."""
    PageFile(str(tmp_path), 7).write({"inflight": math.nan, "requests_done": 0.0}, 1.0)
    reader = PageReader(tmp_path)
    assert reader.read()[7].fields == {"requests_done": 0.0}
    reader.close()


@pytest.mark.parametrize(("before", "middle", "after"), [(2, 4, 4), (2, 2, 4), (3, 3, 3), (2, 3, 4)])
def test_a_torn_page_is_noticed(before: int, middle: int, after: int) -> None:
    """A sequence that moved, or is odd, says that the writer was at work."""
    with pytest.raises(TornPageError):
        parse_page(body(before)[: HEADER.size], body(middle), body(after)[: HEADER.size])


def test_a_page_stuck_in_the_middle_of_a_write_keeps_its_last_whole_state(tmp_path: Path) -> None:
    """A writer stopped between two stores leaves an old page, not a wrong one."""
    PageFile(str(tmp_path), 7).write({"requests_done": 1.0}, 1.0)
    reader = PageReader(tmp_path)
    whole = reader.read()
    with (tmp_path / "7.page").open("r+b") as file:
        file.write(body(3))
    assert reader.read() == whole
    reader.close()


@pytest.mark.parametrize(
    "content",
    [b"", b"short", body(magic=b"FOREIGN\x00"), body(version=VERSION + 1), body(count=3), bytes(PAGE_BYTES)],
)
def test_foreign_files_are_passed_over(tmp_path: Path, content: bytes) -> None:
    """Foreign, short, other versions, not yet written: none of them is a page."""
    (tmp_path / "7.page").write_bytes(content)
    (tmp_path / "name.page").write_bytes(body())
    (tmp_path / "7.other").write_bytes(body())
    reader = PageReader(tmp_path)
    assert reader.read() == {}
    reader.close()


@given(content=st.binary(max_size=PAGE_BYTES + 8))
def test_any_bytes_are_a_page_torn_or_nothing(content: bytes) -> None:
    """The parser never fails in another way."""
    try:
        assert parse_page(content[: HEADER.size], content, content[: HEADER.size]) is None
    except TornPageError:
        assert content[: len(MAGIC)] == MAGIC


def test_a_folder_that_is_not_there_holds_no_pages(tmp_path: Path) -> None:
    """The reader may be started before the target."""
    assert PageReader(tmp_path / "missing").read() == {}


def test_the_page_of_a_dead_process_stays_until_it_is_forgotten(tmp_path: Path) -> None:
    """Its last figures still count."""
    PageFile(str(tmp_path), 7).write({"requests_done": 1.0}, 1.0)
    reader = PageReader(tmp_path)
    first = reader.read()
    (tmp_path / "7.page").unlink()
    assert reader.read() == first
    reader.forget(7)
    assert reader.read() == {}
    reader.close()


def test_a_process_that_got_an_old_pid_gets_a_page_of_its_own(tmp_path: Path) -> None:
    """The reader follows the file that stands, not the one it opened."""
    reader = PageReader(tmp_path)
    PageFile(str(tmp_path), 7).write({"requests_done": 9.0}, 1.0)
    assert reader.read()[7].fields == {"requests_done": 9.0}
    PageFile(str(tmp_path), 7).write({"requests_done": 1.0}, 2.0)
    assert reader.read()[7].fields == {"requests_done": 1.0}
    reader.close()


def test_a_full_disk_is_an_error_and_not_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Space is claimed before the file is mapped: a store never meets SIGBUS."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        PageFile(str(tmp_path), 7)
    assert list(tmp_path.iterdir()) == []
