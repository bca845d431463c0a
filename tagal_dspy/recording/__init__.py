"""What calls of language models take, what they may take, and the record of them: the same for every kind of run."""

from tagal_dspy.recording.budget import Account, Price, Promise
from tagal_dspy.recording.call import check_run_goes_on, reserve_retry
from tagal_dspy.recording.engine import at_place, listening_lm, recorded_answer
from tagal_dspy.recording.record import SUFFIX, RunRecord, load_run, remove_run, run_name, runs_dir
from tagal_dspy.recording.recorder import Recorder, active_recorders, keeping, promised
from tagal_dspy.recording.store import RunStore
from tagal_dspy.recording.usage import RecordedAnswer, Usage

__all__ = [
    "SUFFIX",
    "Account",
    "Price",
    "Promise",
    "RecordedAnswer",
    "Recorder",
    "RunRecord",
    "RunStore",
    "Usage",
    "active_recorders",
    "at_place",
    "check_run_goes_on",
    "keeping",
    "listening_lm",
    "load_run",
    "promised",
    "recorded_answer",
    "remove_run",
    "reserve_retry",
    "run_name",
    "runs_dir",
]
