"""What tasks took is learnt: in one run, and from one to the next."""

import re
from pathlib import Path

import pytest

from .conftest import Flux
from .servers import Service, miniature
from .test_batches import Entries

FOX = "gen fox -m schnell --size 64x64 --new"


def expected(told: str) -> float:
    """The seconds that a run expects its first task to take, at the least: a busy machine makes some take longer."""
    found = re.search(r"usually ([0-9.]+)-[0-9.]+ s", told)
    assert found, told
    return float(found[1])


def test_what_is_expected_comes_from_what_was_seen(
    flux: Flux, service: Service, entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service of the test is 200 times faster than documented, and flux is told that it is as documented."""
    monkeypatch.setenv("FLUX_TIME_SCALE", "0.02")
    before = expected(flux(FOX).err)
    Path("prompts.txt").write_text("".join(f"boat {number}\n" for number in range(8)))
    assert flux("gen --from prompts.txt -m schnell --size 64x64 -q").code == 0
    after = expected(flux(FOX).err)

    assert before == pytest.approx(0.02 * 15, abs=0.05)
    assert after < before * 0.75
    took = [entry.seconds for entry in entries()]
    assert all(seconds is not None and 0.2 < seconds < 15 for seconds in took), took
    assert expected(flux("gen fox -m dev --size 64x64").err) == pytest.approx(0.02 * 25, abs=0.05)


def test_the_past_of_another_service_does_not_count(
    flux: Flux, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUX_TIME_SCALE", "0.02")
    for _ in range(6):
        flux(FOX)
    with miniature(tmp_path / "other.db") as other:
        monkeypatch.setenv("FLUX_BASE_URL", f"{other.origin}/api/v1")
        assert expected(flux(FOX).err) == pytest.approx(0.02 * 15, abs=0.05)
