"""The place of a camera's recorder, which a reload may replace."""

from edge_tdn.messages import ActionEvent, Frame, Scores
from edge_tdn.recording.action_recorder import ActionRecorder


class RecorderSlot:
    """Passes frames and events on to the current recorder, if there is one.

    `recorder` is replaced as one value, by the reload thread; the camera's thread and the runtime thread read it.
    """

    def __init__(self) -> None:
        self.recorder: ActionRecorder | None = None

    def frame(self, frame: Frame) -> None:
        """Pass on a frame. On the camera's thread, or its main stream's."""
        if recorder := self.recorder:
            recorder.frame(frame)

    def named(self, event: ActionEvent) -> ActionEvent:
        """Return an event with the names of the files that are recorded of its action. On the runtime thread."""
        recorder = self.recorder
        return recorder.named(event) if recorder else event

    def event(self, event: ActionEvent, scores: Scores | None) -> None:
        """Pass on an event, and the clip that decided. On the runtime thread."""
        if recorder := self.recorder:
            recorder.event(event, scores)

    def replace(self, recorder: ActionRecorder | None) -> ActionRecorder | None:
        """Let another recorder take over. Return the previous one, which has to be closed."""
        previous, self.recorder = self.recorder, recorder
        return previous
