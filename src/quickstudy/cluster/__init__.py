"""The same learning in several processes, on one machine or many."""

from quickstudy.cluster.following import Follower
from quickstudy.cluster.group import Group
from quickstudy.cluster.joining import LAUNCH, follows, joined, launch, left, unfinished
from quickstudy.cluster.launching import Launched, processes
from quickstudy.cluster.launching import launch as launch_others
from quickstudy.cluster.on_ray import on_ray, place
from quickstudy.cluster.talking import LostError
from quickstudy.cluster.words import changed_words, workers_words

__all__ = [
    "LAUNCH",
    "Follower",
    "Group",
    "Launched",
    "LostError",
    "changed_words",
    "follows",
    "joined",
    "launch",
    "launch_others",
    "left",
    "on_ray",
    "place",
    "processes",
    "unfinished",
    "workers_words",
]
