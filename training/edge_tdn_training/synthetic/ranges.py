"""Types of the numbers in a `SceneConfig`."""

Range = tuple[float, float]  # from and to
IntRange = tuple[int, int]  # from, and up to without including

ANY_PHASE: Range = (0.0, 6.3)  # radians: about a full turn
