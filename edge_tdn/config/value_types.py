"""The types of values that several tables share, with their ranges."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from edge_tdn.config import checks

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]  # safe as a level of a topic
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
SmoothingSeconds = Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)]
Hop = Annotated[int, Field(ge=1, le=64)]
Topic = Annotated[str, AfterValidator(checks.check_topic)]
Region = Annotated[tuple[Share, Share, Share, Share], Field(strict=False), AfterValidator(checks.check_region)]
Point = Annotated[tuple[Share, Share], Field(strict=False)]
Polygon = Annotated[tuple[Point, ...], Field(strict=False), AfterValidator(checks.check_polygon)]
Precision = Literal["fp32", "fp16", "bf16", "int8"]
