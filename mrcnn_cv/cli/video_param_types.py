"""Kinds of option values for what moves: points in time, rates, sizes, and where a page is served."""

from __future__ import annotations

import math
import re
from typing import Any

from mrcnn_cv.cli.param_types import Context, Parameter, Value

_CLOCK = re.compile(r"(?:(\d{1,5}):)?(\d{1,5}):(\d{1,2}(?:\.\d+)?)")
_SIZE = re.compile(r"(\d{1,5})[x×](\d{1,5})", re.IGNORECASE)
_PLACE = re.compile(r"(?:(\[[0-9a-f:.]+\]|[^:\s]+):)?(\d{1,5})", re.IGNORECASE)

MAX_SECONDS = 1e9

MIN_RATE = 1e-5
"""A frame a day is 1.2e-5; of much longer ones the times do not fit into a video."""


class Moment(Value):
    """Seconds from the start: 90, 90.5, 1:30, 0:01:30.5."""

    name = "time"

    def convert(self, value: Any, parameter: Parameter, context: Context) -> float:
        if (clock := _CLOCK.fullmatch(str(value).strip())) and float(clock[3]) < 60:
            seconds = int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3])
        else:
            try:
                seconds = float(value)
            except ValueError:
                seconds = math.nan
        if not 0 <= seconds <= MAX_SECONDS:
            self.fail(f"must be seconds or h:mm:ss, for example 90 or 1:30, not '{value}'", parameter, context)
        return seconds


class Rate(Value):
    """Frames per second: from about one a day."""

    name = "rate"

    def convert(self, value: Any, parameter: Parameter, context: Context) -> float:
        try:
            rate = float(value)
        except ValueError:
            rate = math.nan
        if not MIN_RATE <= rate <= 100_000:
            self.fail(
                f"must be a number of frames per second above 0 (at least 0.00001), not '{value}'", parameter, context
            )
        return rate


class Size(Value):
    """(width, height) in pixels: 1280x720."""

    name = "size"

    def convert(self, value: Any, parameter: Parameter, context: Context) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        found = _SIZE.fullmatch(str(value).strip())
        width, height = (int(found[1]), int(found[2])) if found else (0, 0)
        if not width or not height:
            self.fail(f"must be a size in pixels, for example 1280x720, not '{value}'", parameter, context)
        return width, height


class HostPort(Value):
    """(host, port): 8080, 0.0.0.0:8080, [::1]:8080."""

    name = "address"

    def convert(self, value: Any, parameter: Parameter, context: Context) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        found = _PLACE.fullmatch(str(value).strip())
        port = int(found[2]) if found else -1
        if found is None or "\0" in str(value) or not 0 <= port <= 65_535:
            self.fail(f"must be PORT or HOST:PORT, for example 8080 or 0.0.0.0:8080, not '{value}'", parameter, context)
        return (found[1] or "127.0.0.1").strip("[]"), port
