"""The same learning in several processes, on one machine or many."""

from quickstudy.cluster.following import Follower
from quickstudy.cluster.group import Group
from quickstudy.cluster.joining import LAUNCH, follows, joined, launch, left, unfinished
from quickstudy.cluster.launching import Launched, called, processes
from quickstudy.cluster.launching import launch as launch_others
from quickstudy.cluster.on_ray import Connected, connected, on_ray, place
from quickstudy.cluster.talking import SEARCH, LostError
from quickstudy.cluster.words import changed_words, workers_words

__all__ = [
    "LAUNCH",
    "SEARCH",
    "Connected",
    "Follower",
    "Group",
    "Launched",
    "LostError",
    "called",
    "changed_words",
    "connected",
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
