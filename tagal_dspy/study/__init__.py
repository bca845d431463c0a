"""Meta-parameter studies with Optuna: which settings matter for a table and a model, at what cost, how sure we are."""

from tagal_dspy.optimizers.space import DEFAULT_BOUNDS, Candidate, Range, Space, search_space
from tagal_dspy.study.answers import answers, choose, rerun
from tagal_dspy.study.objective import Evaluate, Goal, Limits, Objective, Outcome, ProgramRuns, settings_toml
from tagal_dspy.study.running import begin_study, find_study, finished, load_study, open_storage, run_study, work
from tagal_dspy.study.sampling import SurrogateSampler
from tagal_dspy.study.simulation import SimulatedRuns, best_quality, true_quality

__all__ = [
    "DEFAULT_BOUNDS",
    "Candidate",
    "Evaluate",
    "Goal",
    "Limits",
    "Objective",
    "Outcome",
    "ProgramRuns",
    "Range",
    "SimulatedRuns",
    "Space",
    "SurrogateSampler",
    "answers",
    "begin_study",
    "best_quality",
    "choose",
    "find_study",
    "finished",
    "load_study",
    "open_storage",
    "rerun",
    "run_study",
    "search_space",
    "settings_toml",
    "true_quality",
    "work",
]
