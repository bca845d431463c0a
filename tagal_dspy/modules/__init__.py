"""The methods of the paper as composed DSPy modules, and their parts."""

from tagal_dspy.modules.block import GenerateAndFilter
from tagal_dspy.modules.critics import CRITICS, Critic, EyeCritic, GroundedCritic, HumanCritic, MeasuredCritic
from tagal_dspy.modules.estimate import Estimate, estimated
from tagal_dspy.modules.generator import RowGenerator
from tagal_dspy.modules.loop import TagalLoop
from tagal_dspy.modules.program_file import METHODS, load_program
from tagal_dspy.modules.prompt_refine import PromptRefine, TurnSummarizer
from tagal_dspy.modules.reduced_loop import ReducedLoop
from tagal_dspy.modules.synth_loop import SynthLoop
from tagal_dspy.modules.turns import Progress, Turn
from tagal_dspy.modules.wanted import Wanted

__all__ = [
    "CRITICS",
    "METHODS",
    "Critic",
    "Estimate",
    "EyeCritic",
    "GenerateAndFilter",
    "GroundedCritic",
    "HumanCritic",
    "MeasuredCritic",
    "Progress",
    "PromptRefine",
    "ReducedLoop",
    "RowGenerator",
    "SynthLoop",
    "TagalLoop",
    "Turn",
    "TurnSummarizer",
    "Wanted",
    "estimated",
    "load_program",
]
