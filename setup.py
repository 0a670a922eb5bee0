"""The package list: structdiff with everything below it, and the folder cli/ as the package structdiff_cli."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["structdiff", "structdiff.*"]), "structdiff_cli"],
    package_dir={"structdiff": "structdiff", "structdiff_cli": "cli"},
)
