#!/usr/bin/env bash
# Build the package, check it, and run what it installs on every Python from 3.10 to 3.13 that is here: with the newest
# of all that it needs and with the oldest OpenCV; on 3.10 with the oldest of everything.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
oldest_opencv="opencv-python-headless==4.10.0.84"

# Without a network where the system lets us do that: nothing of it may be needed.
alone=()
if unshare -rn true 2>/dev/null; then alone=(unshare -rn); fi

python_of() { # the first Python 3.$1 that runs
  for python in "python3.$1" "$HOME/.pyenv/versions/3.$1".*/bin/python3; do
    if "$python" -c "import sys; sys.exit(sys.version_info[:2] != (3, $1))" 2>/dev/null; then
      echo "$python"
      return
    fi
  done
}

try() { # $1: what is installed in $work/venv
  local out="$work/out"
  echo "$1"
  rm -rf "$out"
  "$work/venv/bin/mrcnn-cv" --version
  "${alone[@]}" "$work/venv/bin/mrcnn-cv" "$root/examples/shapes.jpg" -o "$out" -q
  test -s "$out/shapes.jpg"
}

install() { "$work/venv/bin/pip" install -q --disable-pip-version-check "$@"; }

python3 -m venv "$work/build"
"$work/build/bin/pip" install -q --disable-pip-version-check "hatchling>=1.27" twine
(cd "$root" && "$work/build/bin/python" -m hatchling build -d "$work/dist")
"$work/build/bin/twine" check --strict "$work/dist"/*
wheel="$(echo "$work/dist"/*.whl)"

tried=0
for minor in 10 11 12 13; do
  python="$(python_of "$minor")"
  if [ -z "$python" ]; then
    echo "Python 3.$minor: not here"
    continue
  fi
  rm -rf "$work/venv"
  "$python" -m venv "$work/venv"
  install "$wheel"
  try "Python 3.$minor, the newest of everything"
  "$work/venv/bin/pip" uninstall -q -y opencv-python
  if [ "$minor" = 10 ]; then
    # The lower bounds as the wheel states them.
    "$work/venv/bin/python" - "$wheel" >"$work/oldest.txt" <<'END'
import re, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as file:
    metadata = file.read(next(name for name in file.namelist() if name.endswith("/METADATA"))).decode()
for name, version in re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*>=([\d.]+)(?![^\n]*extra)", metadata, re.MULTILINE):
    if name != "opencv-python":
        print(f"{name}=={version}")
END
    install --no-deps --only-binary :all: -r "$work/oldest.txt" "$oldest_opencv"
    try "Python 3.$minor, $(tr '\n' ' ' <"$work/oldest.txt")$oldest_opencv"
  else
    install --no-deps "$oldest_opencv"
    try "Python 3.$minor, $oldest_opencv"
  fi
  tried=$((tried + 2))
done
echo "$tried passed, 0 failed"
