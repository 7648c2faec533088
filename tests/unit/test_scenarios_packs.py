"""The bundled scenarios' data: what a slip of the pen in a pack would quietly turn into a wrong table."""

from itertools import pairwise

import pytest

from pinchpoint.packs import AUDITED, Pack, Part, Target
from pinchpoint.stress.scenarios import SCENARIOS

PACKS = {name: scenario.pack for name, scenario in SCENARIOS.items() if scenario.pack is not None}
FAMILIES = {"customers", "petstore", "inventory", "openuser", "fastapi"}


def test_all_five_families_are_bundled_with_a_pack() -> None:
    """And the two plain files beside them."""
    assert set(PACKS) == FAMILIES | {"inventory_scenarios"}
    assert set(SCENARIOS) == set(PACKS) | {"items"}


def test_every_scenario_says_what_it_does_and_what_it_presses() -> None:
    """For `pinchpoint scenarios`."""
    texts = [text for one in SCENARIOS.values() for text in (one.description, one.presses)]

    assert [text for text in texts if not text or text != text.strip() or text.endswith(".")] == []


@pytest.mark.parametrize("name", PACKS)
def test_parts_and_targets_name_requests_that_the_locust_file_makes(name: str) -> None:
    """A request name that nobody sends would be judged by nothing."""
    text = SCENARIOS[name].path.read_text(encoding="utf-8")
    pack = PACKS[name]
    judged: list[Part | Target] = [*pack.parts, *pack.targets]
    named = {endpoint for one in judged for endpoint in one.endpoints}

    assert [endpoint for endpoint in sorted(named) if f'"{endpoint}"' not in text] == []


@pytest.mark.parametrize("name", PACKS)
def test_no_request_belongs_to_two_parts(name: str) -> None:
    """Its figures would be in both rows of the table."""
    endpoints = [endpoint for part in PACKS[name].parts for endpoint in part.endpoints]

    assert len(endpoints) == len(set(endpoints))
    assert all(part.endpoints and part.weight > 0 for part in PACKS[name].parts)


def shares(pack: Pack) -> float:
    """Return the share of the time that its stages take."""
    return sum(share for share, _ in pack.staged)


@pytest.mark.parametrize("name", PACKS)
def test_stages_take_the_whole_time_and_ask_for_users(name: str) -> None:
    """Shares of the time add up to 1."""
    pack = PACKS[name]

    assert shares(pack) == pytest.approx(1.0 if pack.staged else 0.0)
    assert all(share >= 0 and users >= 0 for share, users in pack.staged)
    assert not pack.staged or max(users for _, users in pack.staged) > 0


@pytest.mark.parametrize("name", PACKS)
def test_what_is_acceptable_is_easier_than_the_target(name: str) -> None:
    """The other way round no value would ever be acceptable."""
    ranged = [target for target in PACKS[name].targets if target.acceptable is not None]
    wrong = [
        target.name
        for target in ranged
        if target.acceptable is not None
        and not (target.acceptable > target.target if target.op in {"<", "<="} else target.acceptable < target.target)
    ]

    assert wrong == []


@pytest.mark.parametrize("name", PACKS)
def test_only_a_pack_with_a_check_has_targets_on_the_database(name: str) -> None:
    """Nobody would measure them."""
    pack = PACKS[name]

    assert pack.audit is not None or not any(target.metric in AUDITED for target in pack.targets)


@pytest.mark.parametrize("name", PACKS)
def test_presets_grow_and_have_time_to_bring_their_users(name: str) -> None:
    """Light before medium before heavy; and names of parts, targets and presets are not used twice."""
    pack = PACKS[name]

    assert all(before.users < after.users for before, after in pairwise(pack.presets))
    assert all(preset.users / preset.spawn_rate <= preset.seconds / 2 for preset in pack.presets)
    for named in (pack.parts, pack.targets, pack.presets):
        names = [one.name for one in named]
        assert len(names) == len(set(names))
