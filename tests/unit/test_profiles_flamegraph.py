"""The flame graph is one well-formed, self-contained, deterministic SVG."""

import re
from collections import Counter
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinchpoint.profiles.flamegraph import boxes, build_tree, render_svg
from pinchpoint.profiles.flamegraph_page import SCRIPT, STYLE, WAIT_STYLE
from pinchpoint.profiles.folded import Frame, Stack, Stacks

SVG = "{http://www.w3.org/2000/svg}"
ROOT, LEFT, RIGHT = Frame("root", "a.py", 1), Frame("left", "a.py", 2), Frame("right", "site-packages/x/b.py", 3)
STACKS = Stacks({(ROOT, LEFT): 30, (ROOT, Frame("left", "a.py", 9)): 40, (ROOT, RIGHT): 20, (ROOT,): 10})
FRAMES = st.builds(Frame, st.text(max_size=8), st.sampled_from(["a.py", "b.py", ""]), st.none() | st.integers(1, 9))


def frames(svg: str) -> list[tuple[str, str, str, str]]:
    """Return class, title, x and width of each frame."""
    tree = ET.fromstring(svg)  # noqa: S314 - our own output
    found = []
    for group in tree.iter(f"{SVG}g"):
        rect = group.find(f"{SVG}rect")
        assert rect is not None
        found.append(
            (group.get("class", ""), group.findtext(f"{SVG}title", ""), rect.get("x", ""), rect.get("width", ""))
        )
    return found


def test_widths_are_shares_and_lines_of_a_function_are_one_frame() -> None:
    """The tip tells function, the hottest line, samples, shares and the owner."""
    drawn = frames(render_svg(STACKS, title="t", lines={"a.py:9": "x = 1"}))
    assert drawn == [
        ("f thread", "all\n100 samples, 100.0 % · self 0, 0.0 %", "0.0000%", "100.0000%"),
        ("f app", "root\na.py:1\n100 samples, 100.0 % · self 10, 10.0 %\nowner: app", "0.0000%", "100.0000%"),
        (
            "f app",
            "left\na.py:9\n70 samples, 70.0 % · self 70, 70.0 %\nowner: app\nline 9: x = 1",
            "0.0000%",
            "70.0000%",
        ),
        (
            "f library",
            "right\nsite-packages/x/b.py:3\n20 samples, 20.0 % · self 20, 20.0 %\nowner: x",
            "70.0000%",
            "20.0000%",
        ),
    ]


def test_the_legend_says_who_burns() -> None:
    """Shares of self samples by group."""
    svg = render_svg(STACKS, title="t")
    assert "app 80.0 %" in svg
    assert "libraries 20.0 %" in svg


def test_frames_below_a_thousandth_are_dropped_and_leave_their_gap() -> None:
    """Nothing is drawn narrower than about a pixel, and nothing moves into its place."""
    stacks = Stacks({(Frame("a", "a.py"),): 1, (Frame("b", "b.py"),): 1999})
    drawn = [(box.node.frame.function, box.start) for box in boxes(build_tree(stacks))]
    assert drawn == [("all", 0.0), ("b", 1 / 2000)]


@pytest.mark.parametrize(
    "name", ["</script><script>alert(1)</script>", "]]>", '" onload="x', "&lt;", "\x00\ud800", "<img>"]
)
def test_hostile_names_are_only_text(name: str) -> None:
    """In titles, labels and tips; the drawing stays well-formed."""
    svg = render_svg(
        Stacks({(Frame(name, f"{name}.py", 1),): 1}), title=name, subtitle=name, lines={f"{name}.py:1": name}
    )
    tree = ET.fromstring(svg)  # noqa: S314 - our own output
    assert Counter(element.tag for element in tree.iter())[f"{SVG}script"] == 1
    svg.encode()
    shown = re.sub("[\x00\ud800]", "�", name)
    assert frames(svg)[1][1].split("\n")[0] == shown


def test_nothing_outside_is_referred_to() -> None:
    """The only addresses are the names of the two namespaces."""
    svg = render_svg(STACKS, title="t")
    assert set(re.findall(r"https?://[^\"' )]+", svg)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xhtml",
    }
    assert "href" not in svg
    assert "url(" not in svg
    assert "@import" not in svg


def test_style_and_script_cannot_end_their_element() -> None:
    """They are embedded verbatim, in XML and in HTML."""
    for text in (STYLE, WAIT_STYLE, SCRIPT):
        assert "]]>" not in text
        assert "</" not in text
    assert "<" not in STYLE + WAIT_STYLE
    assert "&" not in STYLE + WAIT_STYLE


def test_every_style_rule_is_scoped_to_its_graph() -> None:
    """Two graphs and a report share one page."""
    rules = re.findall(r"^([^{}@\n]+)\{", STYLE + WAIT_STYLE, flags=re.MULTILINE)
    assert [rule for rule in rules if not all(part.startswith("#SCOPE") for part in rule.split(","))] == []
    assert "SCOPE" not in render_svg(STACKS, title="t")


def test_different_graphs_have_different_ids() -> None:
    """The same stacks of two phases may stand on one page."""
    first, second = (re.findall(r'id="(flame-\w+)"', render_svg(STACKS, title=title))[0] for title in ("a", "b"))
    assert first != second


def test_equal_input_gives_equal_bytes() -> None:
    """Whatever the order of the stacks."""
    other = Stacks(dict(reversed(list(STACKS.counts.items()))))
    assert render_svg(other, title="t") == render_svg(STACKS, title="t")


def test_no_samples_draw_an_explanation() -> None:
    """An idle worker's graph is not an empty page."""
    svg = render_svg(Stacks({}), title="t")
    assert frames(svg) == []
    assert "No samples" in svg


def test_very_deep_stacks_are_drawn() -> None:
    """Recursion in the app must not become recursion in ours."""
    deep: Stack = tuple(Frame(f"f{index}", "a.py") for index in range(3000))
    assert len(frames(render_svg(Stacks({deep: 1}), title="t"))) == 3001


@settings(max_examples=50)
@given(st.dictionaries(st.lists(FRAMES, min_size=1, max_size=4).map(tuple), st.integers(1, 99), max_size=6))
def test_children_never_leave_their_parent(counts: dict[Stack, int]) -> None:
    """Self plus children is the node, for every node; the drawing is well-formed."""
    root = build_tree(Stacks(counts))
    pending = [root]
    while pending:
        node = pending.pop()
        assert node.samples == node.own + sum(child.samples for child in node.children.values())
        pending.extend(node.children.values())
    assert len(frames(render_svg(Stacks(counts), title="t"))) == (len(list(boxes(root))) if counts else 0)
