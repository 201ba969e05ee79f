"""Let public clients drive the paper exchange: `python tools/conformance.py [CLIENT...] [--write]`.

Each client runs unchanged in an environment of its own, against an exchange of its own: a process on a free loopback
port. Its script (tests/conformance/clients) reports one line for each operation. Printed is a table, clients across and
operations down; the exit code is 1 if anything failed. `--write` puts the table into docs/reference/conformance.md.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tools.client_environments import ROOT, make_environment
from tools.conformance_table import CLIENTS, Client, Results, complete, document_with, table

SCRIPTS = ROOT / "tests" / "conformance" / "clients"
DOCUMENT = ROOT / "docs" / "reference" / "conformance.md"
PATIENCE_S = 600
"""A whole script takes seconds; it ends itself when one operation gets no answer."""
START_EXCHANGE = "import sys; from trio_grid.cli import main; sys.exit(main(sys.argv[1:]))"
HMAC_KEYS = {"key": "conformance-key", "secret": "conformance-secret"}
SECOND_KEYS = {"second_key": "conformance-key-2", "second_secret": "conformance-secret-2"}
ED25519_KEY = "conformance-ed25519"


def loopback_only() -> dict[str, str]:
    """Return this process's environment with any proxy switched off for the loopback address."""
    return {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


@contextmanager
def exchange(*options: str) -> Iterator[dict[str, Any]]:
    """Start an exchange with an account for each kind of key; give what a script is told, and stop it by its pid."""
    private = Ed25519PrivateKey.generate()
    private_pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public_pem = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    accounts = [
        *("--account", "{key}:{secret}".format(**HMAC_KEYS)),
        *("--account", "{second_key}:{second_secret}".format(**SECOND_KEYS)),
        *("--account-ed25519", f"{ED25519_KEY}:{public_pem.decode()}"),
    ]
    command = [sys.executable, "-c", START_EXCHANGE, "exchange", *accounts, *options]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        try:
            urls = json.loads((process.stdout.readline() if process.stdout else b"") or b"{}")
            if not urls:
                raise RuntimeError(f"the exchange did not start: exit code {process.wait()}")
            keys = {"ed25519_key": ED25519_KEY, "ed25519_private_pem": private_pem.decode()}
            yield {**urls, **HMAC_KEYS, **SECOND_KEYS, **keys}
        finally:
            process.terminate()


def run_client(client: Client) -> Results:
    """Drive an exchange with one client and return what became of each operation."""
    python = make_environment(client.environment)
    with exchange() as target, TemporaryDirectory() as scratch:
        script = [str(python), str(SCRIPTS / client.script), json.dumps(target)]
        with subprocess.Popen(
            script, cwd=scratch, env=loopback_only(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                out, _ = process.communicate(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                out, _ = process.communicate()
    lines = [json.loads(line) for line in out.splitlines() if line.startswith('{"operation"')]
    reported = {line["operation"]: (line["outcome"], line["detail"]) for line in lines}
    return complete(client, reported, process.returncode)


def main(arguments: list[str]) -> int:
    """Run the clients that are named, or all; return 1 if an operation failed."""
    parser = argparse.ArgumentParser(description="Let public clients drive the paper exchange.")
    parser.add_argument("client", nargs="*", help=f"one or more of: {', '.join(client.name for client in CLIENTS)}")
    parser.add_argument("--write", action="store_true", help="put the table into docs/reference/conformance.md")
    parsed = parser.parse_args(arguments)
    chosen = [client for client in CLIENTS if not parsed.client or client.name in parsed.client]
    if unknown := set(parsed.client) - {client.name for client in CLIENTS}:
        parser.error(f"no such client: {', '.join(sorted(unknown))}")
    if parsed.write and len(chosen) < len(CLIENTS):
        parser.error("--write wants all clients")
    found: dict[str, Results] = {}
    for client in chosen:
        print(f"{client.title} ...", file=sys.stderr, flush=True)
        found[client.name] = run_client(client)
    print(table(found))
    failures = [
        f"\n{client.title}: {operation}: {detail}"
        for client in chosen
        for operation, (outcome, detail) in found[client.name].items()
        if outcome == "failed"
    ]
    print("\n".join([*failures, f"{len(failures)} failed"]))
    if parsed.write and not failures:
        DOCUMENT.write_text(document_with(DOCUMENT.read_text(encoding="utf-8"), table(found)), encoding="utf-8")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
