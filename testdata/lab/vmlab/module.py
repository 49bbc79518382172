# SPDX-License-Identifier: LGPL-2.1-or-later
"""Kernel modules of the lab's own, built against Debian's headers without installing them."""

import os
import re
import shutil
import subprocess

from . import LabError, Skip
from .initramfs import GUEST


def build(kernel, name):
    """Path of guest/NAME/NAME.ko built for a kernel, in its cache directory."""
    built = kernel.directory / "modules" / f"{name}.ko"
    sources = GUEST / name
    if built.exists() and built.stat().st_mtime >= max(path.stat().st_mtime for path in sources.iterdir()):
        return built
    work = kernel.directory / "modules" / name
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(sources, work)
    result = subprocess.run(["make", "-s", "-C", headers(kernel), f"M={work}", "modules"], capture_output=True, text=True,
                            env={k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS")}, check=False)
    if result.returncode:
        raise Skip(f"module {name} does not build for {kernel.release} on this machine: {result.stderr.strip()[:300]}")
    (work / f"{name}.ko").rename(built)
    shutil.rmtree(work)
    return built


def headers(kernel):
    """The build directory of a kernel, unpacked into the cache."""
    packages, top = kernel.packages, kernel.directory / "headers"
    tree = top / f"usr/src/linux-headers-{kernel.release}"
    if tree.exists():
        return tree
    common = f"linux-headers-{re.sub('-amd64$', '', kernel.release)}-common"
    scratch = kernel.directory / "headers.tmp"
    shutil.rmtree(scratch, ignore_errors=True)
    packages.unpack(f"linux-headers-{kernel.release}", scratch, "./usr")
    packages.unpack(common, scratch, "./usr")
    scripts = scratch / f"usr/src/linux-headers-{kernel.release}/scripts"
    if not scripts.is_symlink():
        raise LabError(f"linux-headers-{kernel.release}: scripts is no link to a linux-kbuild-* directory")
    packages.unpack(re.search(r"linux-kbuild-[^/]+", os.readlink(scripts))[0], scratch, "./usr")
    # The only absolute path in it.
    makefile = scripts.parent / "Makefile"
    makefile.write_text(makefile.read_text(encoding="utf-8").replace("/usr/src/", f"{top}/usr/src/"), encoding="utf-8")
    scratch.rename(top)
    return tree
