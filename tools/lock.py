"""Write all lock files: exact versions, with hashes, without addresses. `python -m tools.lock [--upgrade]`.

requirements.txt and requirements-dev.txt come from pyproject.toml: the runtime lock holds what `just run` needs,
Ed25519 signing and the build backend included; the other one adds the tools and obeys the versions of the first. The
public clients of the conformance suite have a lock each, made from what `tools/conformance_table.py` asks for.
"""

import subprocess
import sys
from pathlib import Path

from tools.client_environments import lock_of
from tools.conformance_table import REQUIREMENTS

COMPILE = [
    *("uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"),
    *("--generate-hashes", "--no-header", "--no-annotate"),
]
LOCKS = {
    "requirements.txt": ["--extra", "build", "--extra", "ed25519"],
    "requirements-dev.txt": ["--extra", "dev", "--constraint", "requirements.txt"],
}


def main(arguments: list[str]) -> int:
    """Write both locks; arguments are handed to uv."""
    root = Path(__file__).resolve().parent.parent
    program = Path(sys.executable).parent / COMPILE[0]
    for lock, options in LOCKS.items():
        command = [str(program), *COMPILE[1:], *options, "--output-file", lock, *arguments, "pyproject.toml"]
        code = subprocess.run(command, cwd=root, check=False).returncode
        if code != 0:
            return code
    for name, requirement in REQUIREMENTS.items():
        command = [str(program), *COMPILE[1:], "--output-file", str(lock_of(name)), *arguments, "-"]
        code = subprocess.run(command, cwd=root, input=requirement, text=True, check=False).returncode
        if code != 0:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
