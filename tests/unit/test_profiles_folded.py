"""Folded stacks: what is written is read back, torn files lose only what was torn, torn stacks are mended."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.profiles.folded import (
    PARTIAL,
    Frame,
    Stack,
    Stacks,
    frame_text,
    graft,
    merge,
    parse,
    parse_frame,
    render,
    thread_label,
    tidy,
)

WORD = st.text(
    st.characters(blacklist_characters=";()[]:\r\n", blacklist_categories=["Cs"]), min_size=1, max_size=12
).filter(lambda word: not word.startswith(("thread ", "process ")))
PATH = st.text(st.characters(blacklist_characters=";\r\n:)", blacklist_categories=["Cs"]), min_size=1, max_size=20)
FRAMES = st.one_of(
    st.builds(Frame, WORD, PATH, st.none() | st.integers(0, 10**6)),
    st.integers(1, 10**6).map(lambda tid: Frame(f"thread ({tid}): Main (x)", kind="thread")),
)
STACKS = st.dictionaries(st.lists(FRAMES, min_size=1, max_size=5).map(tuple), st.integers(1, 10**9), max_size=8).map(
    Stacks
)

ROOT = Frame("<module>", "run.py", 1)
THREAD = Frame("thread (7): MainThread", kind="thread")


def code(name: str, line: int = 1) -> Frame:
    """Make a frame of the app."""
    return Frame(name, "shop.py", line)


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ("crunch (/srv/shop.py:11)", Frame("crunch", "/srv/shop.py", 11)),
        ("f (/srv/old (2)/a b.py:3)", Frame("f", "/srv/old (2)/a b.py", 3)),
        ("<lambda> (<string>:1)", Frame("<lambda>", "<string>", 1)),
        ("do_work (libfast.so)", Frame("do_work", "libfast.so", None)),
        ("thread (7065): MainThread", Frame("thread (7065): MainThread", kind="thread")),
        ("thread (0x7F12): T-1 (run)", Frame("thread (0x7F12): T-1 (run)", kind="thread")),
        ('process 12:"gunicorn: worker"', Frame('process 12:"gunicorn: worker"', kind="process")),
        ("[partial stack]", Frame(PARTIAL, kind="note")),
        ("\x01 ()", Frame("\x01", "", None)),
        ("bare", Frame("bare")),
    ],
)
def test_every_form_of_frame_is_read(text: str, frame: Frame) -> None:
    """Functions, threads, processes, notes and misreads are told apart."""
    assert parse_frame(text) == frame


@given(STACKS)
def test_written_stacks_are_read_back(stacks: Stacks) -> None:
    """Rendering and parsing are inverse."""
    assert dict(parse(render(stacks)).counts) == dict(stacks.counts)


@given(STACKS, st.data())
def test_a_cut_file_loses_only_the_cut_line(stacks: Stacks, data: st.DataObject) -> None:
    """Whatever byte the writer was killed at, every whole line is still right and no count is cut."""
    text = render(stacks)
    kept = parse(text[: data.draw(st.integers(0, len(text)))])
    assert all(stacks.counts[stack] == count for stack, count in kept.counts.items())


@given(st.text())
def test_no_text_makes_the_parser_fail(text: str) -> None:
    """Lines that are not folded stacks are left out."""
    assert parse(text).total >= 0


def test_a_count_without_newline_is_not_trusted() -> None:
    """The last line may have lost digits."""
    assert parse("a (x.py:1) 5\nb (x.py:2) 12").counts == {(Frame("a", "x.py", 1),): 5}


def test_semicolons_in_names_do_not_split_frames() -> None:
    """A hostile name cannot add frames to a file that we write."""
    stacks = Stacks({(Frame("a;b\nc 9", "x.py", 1),): 2})
    assert parse(render(stacks)).counts == {(Frame("a:b c 9", "x.py", 1),): 2}
    assert frame_text(Frame("f", "x.py")) == "f (x.py)"


def test_merging_adds_up_and_filtering_keeps() -> None:
    """Totals are sums; a filter sees whole stacks."""
    one, two = (code("a"),), (code("b"),)
    both = merge([Stacks({one: 2, two: 1}), Stacks({one: 3})])
    assert both.counts == {one: 5, two: 1}
    assert both.total == 6
    assert both.filter(lambda stack: stack == two).counts == {two: 1}


def test_mapping_adds_up_stacks_that_become_equal() -> None:
    """Nothing is lost but what the change empties."""
    stacks = Stacks({(code("a", 1),): 2, (code("a", 2),): 3, (ROOT,): 4})
    assert stacks.map(lambda stack: () if stack == (ROOT,) else (code("a"),)).counts == {(code("a"),): 5}


@pytest.mark.parametrize(
    ("torn", "mended"),
    [
        ((THREAD, ROOT, code("a")), (THREAD, ROOT, code("a"))),
        ((THREAD, ROOT, Frame("\x01"), code("a")), (THREAD, Frame(PARTIAL, kind="note"), code("a"))),
        ((THREAD, code("a"), code("b")), (THREAD, Frame(PARTIAL, kind="note"), code("a"), code("b"))),
        ((ROOT, code("a")), (ROOT, code("a"))),
    ],
)
def test_torn_stacks_keep_their_leafward_part(torn: Stack, mended: Stack) -> None:
    """The profiler reads from the leaf: what it read before the misread holds."""
    assert tidy(Stacks({torn: 3})).counts == {mended: 3}


def test_tidying_twice_changes_nothing() -> None:
    """A file that was mended is not mended again."""
    once = tidy(Stacks({(THREAD, code("a")): 1, (THREAD, Frame("\x01")): 5}))
    assert once.counts == {(THREAD, Frame(PARTIAL, kind="note"), code("a")): 1}
    assert tidy(once).counts == once.counts


def test_partial_stacks_join_their_most_common_callers() -> None:
    """A torn stack lands where its first function was mostly seen; an unknown one stays apart."""
    note = Frame(PARTIAL, kind="note")
    stacks = Stacks(
        {
            (THREAD, ROOT, code("often"), code("f")): 5,
            (THREAD, ROOT, code("rare"), code("f")): 1,
            (THREAD, note, code("f", 9), code("g")): 2,
            (THREAD, note, code("unknown")): 4,
        }
    )
    joined, samples = graft(stacks)
    assert samples == 2
    assert joined.total == stacks.total
    assert joined.counts[THREAD, ROOT, code("often"), code("f", 9), code("g")] == 2
    assert joined.counts[THREAD, note, code("unknown")] == 4


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("thread (7065): MainThread", "[thread MainThread]"),
        ("thread (7): Thread-12 (_worker)", "[thread Thread-N (_worker)]"),
        ("thread (7)", "[thread]"),
    ],
)
def test_threads_of_two_workers_get_one_label(text: str, label: str) -> None:
    """Numbers differ from worker to worker and mean nothing in a merged graph."""
    assert thread_label(parse_frame(text)) == label
