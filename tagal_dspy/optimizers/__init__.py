"""Better prompts for a program: DSPy's optimizers over the table metric, within a budget, and proof that it helped."""

from tagal_dspy.optimizers.compiling import Compiled, Plan, compile_program, planned
from tagal_dspy.optimizers.drivers import DRIVERS
from tagal_dspy.optimizers.lineage import Candidate, Lineage
from tagal_dspy.optimizers.search import SEARCHED
from tagal_dspy.optimizers.tasks import Tasks, generation_tasks, split_tasks
from tagal_dspy.optimizers.transfer import transfer

__all__ = [
    "DRIVERS",
    "SEARCHED",
    "Candidate",
    "Compiled",
    "Lineage",
    "Plan",
    "Tasks",
    "compile_program",
    "generation_tasks",
    "planned",
    "split_tasks",
    "transfer",
]
