"""What a checkpoint's folder says of the sampler: taken, or refused with the file and the option named."""

from __future__ import annotations

from pathlib import Path

import pytest

import structdiff

pytest.importorskip("torch")
from structdiff.loading import EMBEDDED, SETTINGS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if not (EMBEDDED / "config.json").is_file():
        pytest.skip("this installation holds no embedded model")
    for path in EMBEDDED.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / SETTINGS).unlink()
    return tmp_path


def test_options_of_the_folder_are_taken_and_the_callers_go_first(folder: Path) -> None:
    assert structdiff.load(folder).policy.draft_steps == 0
    (folder / SETTINGS).write_text('{"draft_steps": 3, "patience": 7}')
    policy = structdiff.load(folder, patience=2).policy
    assert (policy.draft_steps, policy.patience) == (3, 2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1, 2", "no JSON object"),
        ("[1, 2]", "no JSON object"),
        ('{"draft_stepz": 3}', "'draft_stepz' is no option of the sampler; it has max_steps, .*draft_steps"),
    ],
)
def test_broken_options_are_one_clear_error(folder: Path, text: str, told: str) -> None:
    (folder / SETTINGS).write_text(text)
    with pytest.raises(structdiff.GenerationError, match=told) as caught:
        structdiff.load(folder)
    assert str(folder / SETTINGS) in str(caught.value)
