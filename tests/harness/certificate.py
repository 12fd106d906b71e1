"""A self-signed certificate for a server on loopback."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from .temporary import temporary_folder


@dataclass(frozen=True)
class Certificate:
    certificate: Path
    key: Path

    @classmethod
    def make(cls, folder: Path | None = None, name: str = "localhost") -> Self:
        """Valid for `name` and 127.0.0.1; a client may trust the certificate file itself as its root."""
        folder = folder or temporary_folder("certificate")
        made = cls(folder / f"{name}.crt", folder / f"{name}.key")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={name}",
             "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1", "-out", made.certificate, "-keyout", made.key],
            check=True, capture_output=True,
        )  # fmt: skip
        return made
