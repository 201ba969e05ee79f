"""Make .venv hold exactly what a lock file says, and the project itself. Standard library only: it runs first.

`python3 tools/setup.py LOCK`. A stamp beside the interpreter remembers what was installed, so that the next call costs
a tenth of a second. It never touches anything outside of .venv, and installs nothing whose hash the lock does not hold.
"""

import fcntl
import hashlib
import subprocess
import sys
import venv
from pathlib import Path

OLDEST = (3, 11)
ASK_VERSION = "import sys; print(*sys.version_info[:3], sys.implementation.cache_tag)"


def main(arguments: list[str]) -> int:
    """Install the lock named by the only argument; return the exit code."""
    if sys.version_info < OLDEST:
        print("Python 3.11 or newer is needed: set PYTHON=/path/to/python3.11", file=sys.stderr)
        return 2
    root = Path(__file__).resolve().parent.parent
    lock = root / arguments[0]
    home = root / ".venv"
    home.mkdir(exist_ok=True)
    # Two recipes may start at once (`just run` in one terminal, `just test` in another): one installs, one waits.
    with (home / "setup.lock").open("a") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        return make(root, home, lock)


def make(root: Path, home: Path, lock: Path) -> int:
    """Bring .venv to what the lock says, unless its stamp says that it is there already."""
    python = home / "bin" / "python"
    if not python.exists():
        try:
            venv.create(home, with_pip=True)
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"cannot make {home}: {error}\nPython's venv and pip modules are needed.", file=sys.stderr)
            return 2
    version = subprocess.run([python, "-c", ASK_VERSION], check=True, capture_output=True, text=True).stdout
    if tuple(map(int, version.split()[:2])) < OLDEST:
        print(
            f"{home} was made by Python {version.strip()}: remove it, then set PYTHON to 3.11 or newer", file=sys.stderr
        )
        return 2
    project = (root / "pyproject.toml").read_bytes()
    want = hashlib.sha256(b"\0".join([lock.read_bytes(), project, version.encode(), bytes(root)])).hexdigest()
    stamp = home / f"{lock.stem}.stamp"
    if stamp.exists() and stamp.read_text() == want:
        return 0
    print(f"setting up .venv from {lock.name} ...", file=sys.stderr, flush=True)
    try:
        install(root, python, lock)
    except subprocess.CalledProcessError as error:
        print(f"setting up .venv failed: {error}", file=sys.stderr)
        return 1
    stamp.write_text(want)
    return 0


def install(root: Path, python: Path, lock: Path) -> None:
    """Install the lock and the project; raises CalledProcessError when pip fails."""
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    # pip refuses the project itself under --require-hashes, hence two calls.
    subprocess.run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(lock)], check=True)
    subprocess.run([*pip, "--no-build-isolation", "--no-index", "-e", str(root)], check=True)
    subprocess.run([str(python), "-m", "pip", "check"], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
