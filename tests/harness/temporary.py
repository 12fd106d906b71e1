"""Folders that are gone when the process ends."""

import atexit
import shutil
import tempfile
from pathlib import Path


def temporary_folder(purpose: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f"millrace-{purpose}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
