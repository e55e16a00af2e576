"""The one place that imports OpenVINO, so that what comes with it cannot send anything, and comes only when it is used.

The package tells a statistics server of every import, without asking, by means of another package, openvino_telemetry;
where that cannot be imported it does without. See docs/security.md. Its converter of models, which we never use, takes
longer to import than all the rest: others find it as before, when they ask for it.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

_TELEMETRY, _CONVERTER = "openvino_telemetry", "openvino.tools.ovc"

_is_first = "openvino" not in sys.modules
_ours = [name for name in (_TELEMETRY, *([_CONVERTER] if _is_first else [])) if name not in sys.modules]
sys.modules.update(dict.fromkeys(_ours))  # type: ignore[arg-type]
try:
    import openvino as ov
    from openvino import opset13 as ops
finally:
    for _name in _ours:
        with suppress(KeyError):
            del sys.modules[_name]

__all__ = ["ops", "ov"]


def _converter(name: str) -> Any:
    """What `openvino` would have had from its converter."""
    if name != "convert_model":
        raise AttributeError(f"module 'openvino' has no attribute '{name}'")
    from openvino.tools.ovc import convert_model

    return convert_model


if _CONVERTER in _ours and not hasattr(ov, "convert_model"):
    ov.__getattr__ = _converter
