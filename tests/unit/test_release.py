"""One version, told in one place and the same everywhere; a changelog that a program can read."""

import re
from pathlib import Path

import yaml

import structdiff

ROOT = Path(__file__).parents[2]
SECTIONS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
"""The headings of https://keepachangelog.com/en/1.1.0/."""


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert structdiff.__version__ == citation["version"]
    page = (ROOT / "docs" / "whats_new.md").read_text()
    assert page.startswith(f"# What is new in {structdiff.__version__.rpartition('.')[0]}\n")


def test_the_changelog_has_this_version_with_its_day_and_the_usual_sections():
    log = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## (.*)$", log, re.M)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert versions[0] == "Unreleased"
    assert versions[1] == f"{structdiff.__version__} - {citation['date-released']}"
    assert set(re.findall(r"^### (.*)$", log, re.M)) <= SECTIONS
