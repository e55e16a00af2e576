#!/usr/bin/env bash
# imagesize.get() gives a GIF of 40,000 x 2 pixels the size (-25536, 2): it reads the two numbers, which have no sign, as
# signed ones. A BMP of 65 x 48 pixels with OS/2's header of 12 bytes, whose numbers have 16 bits, it gives
# (3145793, 1572865): it reads 32 bits of every BMP. Pillow opens and decodes both at their true sizes.
# Ends with an error where that is no longer so. Takes 25 MB and ten seconds; leaves nothing behind.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q "imagesize==2.0.1" "pillow==12.0.0"
"$work/venv/bin/python" - <<'PYTHON'
import io
import struct

import imagesize
from PIL import Image

file = io.BytesIO()
Image.new("P", (40_000, 2)).save(file, "GIF")
files = {
    "GIF": file.getvalue(),
    "BMP": b"BM" + struct.pack("<IHHIIHHHH", 9434, 0, 0, 26, 12, 65, 48, 1, 24) + bytes(196 * 48),
}
found = {}
for name, data in files.items():
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        found[name] = imagesize.get(io.BytesIO(data)), image.size
        print(name, "imagesize", *found[name][0], "Pillow", *found[name][1])
assert found == {"GIF": ((-25_536, 2), (40_000, 2)), "BMP": ((3_145_793, 1_572_865), (65, 48))}, "it is different now"
PYTHON
echo "as found: imagesize is wrong about both"
