# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian packages by name, through apt lists and a cache of the lab's own: the host's sources and its package
database are never touched."""

import functools
import os
import pathlib
import re
import shutil
import subprocess
import time

from . import LabError, Skip

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SUITES = (  # (archive, suite): 6.1 is bookworm's, 6.12 its backports', all later kernels trixie's backports'
    ("debian", "bookworm"),
    ("debian", "bookworm-backports"),
    ("debian-security", "bookworm-security"),
    ("debian", "trixie-backports"),
)
LISTS_MAX_AGE = 24 * 3600  # seconds
DEBUG_SPACE = 5 << 30  # bytes that must be free before a -dbg package (1 GB, 7 GB unpacked) is fetched
FLAVOUR = "-amd64"


def default_cache():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(os.environ.get("PERFCORE_LAB_CACHE") or os.path.join(base, "perfcore-lab"))


def host_mirrors(root="/etc/apt"):
    """{"debian": base URI, "debian-security": base URI} as the host's own sources name them."""
    mirrors = {"debian": "http://deb.debian.org/debian", "debian-security": "http://deb.debian.org/debian-security"}
    top = pathlib.Path(root)
    text = ""
    for path in [top / "sources.list", *sorted(top.glob("sources.list.d/*"))]:
        if path.is_file() and path.suffix in (".list", ".sources"):
            text += path.read_text(encoding="utf-8", errors="replace") + "\n"
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for uri in re.findall(r"\b(?:https?|file|mirror\+\w+)://?\S+", "\n".join(lines)):
        uri = uri.rstrip("/")
        if uri.rsplit("/", 1)[-1] in mirrors:
            mirrors[uri.rsplit("/", 1)[-1]] = uri
    return mirrors


def version_key(release):
    """Sorts kernel releases: 6.1.0-56 before 6.12.90 before 6.12.117."""
    return [int(part) for part in re.findall(r"\d+", release.split("+")[0])]


class Packages:
    """The archive as it is today. Needs the network for `update` and for packages not yet in the cache."""

    def __init__(self, cache=None):
        self.cache = pathlib.Path(cache or default_cache())
        self.apt = self.cache / "apt"
        self.debs = self.cache / "debs"

    def _options(self):
        return ["-o", f"Dir::Etc::SourceList={self.apt}/sources.list", "-o", "Dir::Etc::SourceParts=/dev/null",
                "-o", f"Dir::State={self.apt}", "-o", f"Dir::State::lists={self.apt}/lists",
                "-o", f"Dir::State::status={self.apt}/status", "-o", f"Dir::Cache={self.apt}",
                "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=", "-o", "APT::Architecture=amd64",
                "-o", "APT::Architectures=amd64", "-o", "Acquire::Languages=none", "-o", "Acquire::Retries=3",
                *(["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else [])]

    def _run(self, program, *arguments, cwd=None):
        result = subprocess.run([program, *self._options(), *arguments], capture_output=True, text=True, cwd=cwd,
                                env={**os.environ, "LC_ALL": "C"}, check=False)
        if result.returncode:
            raise LabError(f"{program} {' '.join(arguments)}: {result.stderr.strip() or result.stdout.strip()}")
        return result.stdout

    def update(self, force=False):
        """Fetches the package lists unless they are younger than a day."""
        stamp = self.apt / "updated"
        if not force and stamp.exists() and time.time() - stamp.stat().st_mtime < LISTS_MAX_AGE:
            return
        for directory in (self.apt / "lists/partial", self.apt / "archives/partial", self.debs):
            directory.mkdir(parents=True, exist_ok=True)
        (self.apt / "status").touch()
        mirrors = host_mirrors()
        signed = f"[signed-by={KEYRING}] " if os.path.exists(KEYRING) else ""
        (self.apt / "sources.list").write_text(
            "".join(f"deb {signed}{mirrors[archive]} {suite} main\n" for archive, suite in SUITES), encoding="utf-8")
        try:
            self._run("apt-get", "update", "-o", "APT::Update::Error-Mode=any")
        except LabError as error:
            if not any((self.apt / "lists").glob("*Packages*")):
                raise Skip(f"the package lists cannot be fetched: {error}") from error
            return  # yesterday's will do
        stamp.touch()
        self.__dict__.pop("available", None)

    @functools.cached_property
    def available(self):
        """{package name: newest version} of everything the suites offer about kernels, and what the guest runs."""
        self.update()
        found, name = {}, ""
        for line in self._run("apt-cache", "dumpavail").splitlines():
            if line.startswith("Package: "):
                name = line[9:]
            elif line.startswith("Version: "):
                known = found.get(name)
                if known is None or subprocess.run(["dpkg", "--compare-versions", line[9:], "gt", known],
                                                   check=False).returncode == 0:
                    found[name] = line[9:]
        return found

    def kernels(self):
        """Releases that are offered, oldest first ("6.1.0-56-amd64", "6.18.12+deb13-amd64")."""
        releases = set()
        for name in self.available:
            match = re.fullmatch(r"linux-(?:image|binary)-(\d+\.\d+[\w.+~]*(?:-\d+)?)" + FLAVOUR, name)
            if match and re.match(r"\d+\.\d+\.\d+", match[1]):
                releases.add(match[1] + FLAVOUR)
        return sorted(releases, key=version_key)

    def resolve(self, spec):
        """A series ("6.12"), a version ("6.18.12"), a release or a package name to the newest release it names."""
        release = re.sub(r"^linux-(image|binary)-", "", spec)
        offered = self.kernels()
        if release in offered:
            return release
        fits = [r for r in offered if re.match(re.escape(release) + r"(?![0-9])", r)]
        if not fits:
            raise Skip(f"no kernel {spec} is offered by {', '.join(suite for _, suite in SUITES)}; "
                       f"`lab list` names those that are")
        return fits[-1]

    def image_package(self, release):
        """The package with /boot/vmlinuz: linux-binary-* since 6.19.6, linux-image-* before."""
        return next(p for p in (f"linux-binary-{release}", f"linux-image-{release}") if p in self.available)

    def fetch(self, name):
        """Path of the package's .deb in the cache."""
        if name not in self.available:
            raise Skip(f"package {name} is not offered by {', '.join(suite for _, suite in SUITES)}")
        version = self.available[name]
        pattern = f"{name}_{version.replace(':', '%3a')}_*.deb"
        found = sorted(self.debs.glob(pattern))
        if not found:
            partial = self.debs / "partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            try:
                self._run("apt-get", "download", f"{name}={version}", cwd=partial)  # verifies the archive's hash
            except LabError as error:
                raise Skip(f"{name} cannot be fetched: {error}") from error
            for path in partial.glob("*.deb"):
                path.rename(self.debs / path.name)
            found = sorted(self.debs.glob(pattern))
        if not found:
            raise LabError(f"apt-get download {name}={version} left no {pattern}")
        return found[0]

    def unpack(self, name, directory, *members, keep=False):
        """Takes the files that match `members` (tar wildcards) out of a package. The .deb goes unless `keep`."""
        deb = self.fetch(name)
        directory.mkdir(parents=True, exist_ok=True)
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as source:
            result = subprocess.run(["tar", "-x", "-C", directory, "--wildcards", "--no-same-owner", *members],
                                    stdin=source.stdout, capture_output=True, text=True, check=False)
            source.stdout.close()
        if result.returncode not in (0, 2) or "Not found in archive" in result.stderr and len(members) == 1:
            raise LabError(f"{deb.name}: {result.stderr.strip()}")
        if not keep:
            deb.unlink()

    def debug_vmlinux(self, release):
        """vmlinux with DWARF out of the -dbg package, kept in the cache. Skip with the reason when it cannot be had."""
        target = self.cache / "vmlinux" / f"vmlinux-{release}"
        if target.exists():
            return target
        name = f"linux-image-{release}-dbg"
        if name not in self.available:
            raise Skip(f"no debug symbols of {release}: {name} is not offered")
        target.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target.parent).free
        if free < DEBUG_SPACE:
            raise Skip(f"no debug symbols of {release}: {free >> 20} MB are free in {target.parent}, "
                       f"{DEBUG_SPACE >> 20} MB are wanted for {name}")
        scratch = target.parent / f"{release}.tmp"
        self.unpack(name, scratch, "*/vmlinux*")
        found = [p for p in scratch.rglob("vmlinux*") if p.is_file()]
        if not found:
            raise LabError(f"{name} holds no vmlinux")
        found[0].rename(target)
        shutil.rmtree(scratch)
        return target
