"""The one place that imports OpenVINO, so that what comes with it cannot send anything.

The package tells a statistics server of every import, without asking, by means of another package, openvino_telemetry;
where that cannot be imported it does without. See docs/security.md.
"""

from __future__ import annotations

import sys
from contextlib import suppress

_TELEMETRY = "openvino_telemetry"

_is_ours = _TELEMETRY not in sys.modules
if _is_ours:
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
try:
    import openvino as ov
    from openvino import opset13 as ops
finally:
    if _is_ours:
        with suppress(KeyError):
            del sys.modules[_TELEMETRY]

__all__ = ["ops", "ov"]
