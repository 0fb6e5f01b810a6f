"""What pip installs."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import gameservers

ROOT = Path(gameservers.__file__).parent.parent
BUILD = "from setuptools import build_meta; print(build_meta.build_wheel({!r}))"


class WheelTests(SynchronousTestCase):
    def setUp(self) -> None:
        if not (ROOT / "setup.cfg").exists():
            self.skipTest("these tests run beside an installed package, not in its source tree")
        try:
            have = int(version("setuptools").partition(".")[0])
        except PackageNotFoundError:
            have = 0
        if have < 71:
            self.skipTest("setuptools, which builds the wheel, is missing or older than 71")

    def build(self) -> zipfile.ZipFile:
        """Build the wheel from a copy, as building leaves files beside the sources."""
        copy, wheels = Path(self.mktemp()).absolute(), Path(self.mktemp()).absolute()
        ignored = shutil.ignore_patterns("__pycache__", "dropin.cache")
        for package in ("gameservers", "twisted"):
            shutil.copytree(ROOT / package, copy / package, ignore=ignored)
        for name in ("setup.cfg", "pyproject.toml", "README.rst", "LICENSE"):
            shutil.copy(ROOT / name, copy)
        wheels.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", BUILD.format(str(wheels))],
            cwd=copy,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        wheel = zipfile.ZipFile(wheels / done.stdout.split()[-1])
        self.addCleanup(wheel.close)
        return wheel

    def test_contents(self) -> None:
        wheel = self.build()
        names = set(wheel.namelist())
        self.assertIn("twisted/plugins/gameservers_plugin.py", names)
        self.assertIn("gameservers/py.typed", names)
        for source in (ROOT / "gameservers").rglob("*.py"):
            self.assertIn(source.relative_to(ROOT).as_posix(), names)
        strays = [
            name
            for name in names
            if not name.startswith(("gameservers/", f"gameservers-{gameservers.__version__}."))
        ]
        self.assertEqual(strays, ["twisted/plugins/gameservers_plugin.py"])
        (points,) = [name for name in names if name.endswith("entry_points.txt")]
        self.assertIn("gameserver = gameservers.__main__:main", wheel.read(points).decode())


class RequirementsTests(SynchronousTestCase):
    def test_tools_are_those_of_the_extras(self) -> None:
        """Whatever builds the wheel in the tests is what pip builds it with."""
        if not (ROOT / "setup.cfg").exists():
            self.skipTest("these tests run beside an installed package, not in its source tree")
        metadata = configparser.ConfigParser()
        metadata.read(ROOT / "setup.cfg")
        extras = metadata["options.extras_require"]
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())
        for requirement in project["build-system"]["requires"]:
            self.assertIn(requirement, extras["test"].split())
