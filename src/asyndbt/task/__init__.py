"""Tasks and examples: what is asked, with which data, at which site."""

from asyndbt.task.builtin import BUILTIN_TASK_NAMES, builtin_task
from asyndbt.task.drawing import SplitSizes
from asyndbt.task.duplicates import DuplicateReport
from asyndbt.task.example import Example
from asyndbt.task.loading import MAX_CHARS, check_text, load_examples
from asyndbt.task.site_data import MERGED_SITE, SiteData, merge_sites
from asyndbt.task.sites import partition_examples
from asyndbt.task.slots import demonstration_slots
from asyndbt.task.splits import DEFAULT_SITE, Split, split_sites
from asyndbt.task.task import Task

__all__ = [
    "BUILTIN_TASK_NAMES",
    "DEFAULT_SITE",
    "MAX_CHARS",
    "MERGED_SITE",
    "DuplicateReport",
    "Example",
    "SiteData",
    "Split",
    "SplitSizes",
    "Task",
    "builtin_task",
    "check_text",
    "demonstration_slots",
    "load_examples",
    "merge_sites",
    "partition_examples",
    "split_sites",
]
