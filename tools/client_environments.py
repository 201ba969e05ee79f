"""Make an environment for each public client: var/conformance/NAME holds exactly what its lock file says.

The lock files are tests/conformance/locks/NAME.txt: exact versions, with hashes, without addresses. A stamp remembers
what was installed, so that the next call costs nothing. Nothing outside of var/conformance is touched.
"""

import fcntl
import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "tests" / "conformance" / "locks"
HOME = ROOT / "var" / "conformance"


def lock_of(name: str) -> Path:
    """Return the lock file of an environment."""
    return LOCKS / f"{name}.txt"


def pinned_version(name: str, package: str) -> str:
    """Return the version of a package that an environment's lock pins; raises LookupError when it pins none."""
    for line in lock_of(name).read_text().splitlines():
        found, equals, rest = line.partition("==")
        if equals and found == package:
            return rest.split()[0]
    raise LookupError(f"{lock_of(name)} pins no {package}")


def make_environment(name: str) -> Path:
    """Make the environment if it is not there already, and return its interpreter.

    Raises:
        subprocess.CalledProcessError: pip could not install what the lock says.
    """
    home = HOME / name
    home.parent.mkdir(parents=True, exist_ok=True)
    # Two recipes may start at once: one installs, one waits.
    with (home.parent / f"{name}.lock").open("a") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        python = home / "bin" / "python"
        stamp = home / "stamp"
        want = hashlib.sha256(b"\0".join([lock_of(name).read_bytes(), sys.version.encode(), bytes(home)])).hexdigest()
        if not (stamp.exists() and stamp.read_text() == want):
            print(f"setting up var/conformance/{name} ...", file=sys.stderr, flush=True)
            venv.create(home, clear=True, with_pip=False)
            install(python, lock_of(name))
            stamp.write_text(want)
    return python


def install(python: Path, lock: Path) -> None:
    """Install the lock for an interpreter, with the pip of this one.

    Only what is imported gets compiled, and only once: most clients bring far more modules than they use.
    """
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-compile", "--require-hashes", "--only-binary", ":all:"]
    subprocess.run([*pip, "install", *options, "-r", str(lock)], check=True)


def main(arguments: list[str]) -> int:
    """Make the named environments; return 1 if one could not be made."""
    for name in arguments:
        try:
            make_environment(name)
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"setting up var/conformance/{name} failed: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
