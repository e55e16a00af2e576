"""Regenerate the Python code of mrcnn_cv/graph/protos from its .proto files.

Run it in an environment of its own with `pip install "grpcio-tools==1.62.3" "setuptools<81"`: that compiler writes code
that every protobuf from 4.25 on can load; code from a newer compiler refuses an older protobuf.
"""

from __future__ import annotations

import sys
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "mrcnn_cv" / "graph" / "protos"


def main() -> int:
    """Compile every .proto file of the folder; returns the compiler's exit code."""
    # Paths from the root keep our file names apart from others' in protobuf's pool, which all packages share.
    sources = sorted(str(path.relative_to(ROOT)) for path in FOLDER.glob("*.proto"))
    return int(protoc.main(["protoc", f"-I{ROOT}", f"--python_out={ROOT}", f"--pyi_out={ROOT}", *sources]))


if __name__ == "__main__":
    sys.exit(main())
