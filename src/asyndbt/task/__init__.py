"""Tasks and their examples: load, partition, deduplicate, split, deal into slots."""

from asyndbt.task._builtin_tasks import BUILTIN_TASK_NAMES, builtin_task
from asyndbt.task._demonstrations import demonstration_slots
from asyndbt.task._duplicates import without_repeats
from asyndbt.task._example import Example
from asyndbt.task._loading import load_examples, read_answer, read_text
from asyndbt.task._partition import divide_sites, partition_examples, share_examples
from asyndbt.task._rewards import REWARDS, Reward
from asyndbt.task._sources import json_row, read_datasets, read_file
from asyndbt.task._splits import (
    MERGED_SITE,
    SiteData,
    Split,
    SplitSizes,
    digest,
    merge_sites,
    seeded_order,
    split_sites,
)
from asyndbt.task._task import MOST_COST, Task

__all__ = [
    "BUILTIN_TASK_NAMES",
    "MERGED_SITE",
    "MOST_COST",
    "REWARDS",
    "Example",
    "Reward",
    "SiteData",
    "Split",
    "SplitSizes",
    "Task",
    "builtin_task",
    "demonstration_slots",
    "digest",
    "divide_sites",
    "json_row",
    "load_examples",
    "merge_sites",
    "partition_examples",
    "read_answer",
    "read_datasets",
    "read_file",
    "read_text",
    "seeded_order",
    "share_examples",
    "split_sites",
    "without_repeats",
]
