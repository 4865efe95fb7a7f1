"""The table of semantic cases: what a mirror of files has to get right, each with a name.

A case is a generator over a tree: what it does before its first `yield` is there from the start; each `yield` is a
moment at which both sides must come to agree, and does what follows with the mirror at work (or down:
test_cases.py). Its end is such a moment too. A case's docstring says why it is hard, where the name does not.
"""
import dataclasses
import functools

CASES = {}


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    steps: object            # generator function
    quick: bool = False      # part of ./test
    rsync: bool = True       # rsync itself can judge it
    only: tuple = ()         # file systems that can do this; () means all
    outside: bool = False    # works with a folder beside the root, too: steps(tree, outside)
    seen_live: bool = True   # hints of the kernel show it; otherwise a compare has to
    limit: str = ""          # why it is not mirrored right: docs/mirror.md says so as well


def case(**options):
    def add(function):
        name = options.pop("name", function.__name__)
        assert name not in CASES, name
        CASES[name] = Case(name, function, **options)
        return function
    return add


def cases(values, name, **options):
    """A case per value."""
    def add(function):
        for value in values:
            words = value if isinstance(value, str) else ", ".join(value)
            CASES[f"{name}[{words}]"] = Case(f"{name}[{words}]", functools.partial(function, value=value), **options)
        return function
    return add


from . import attributes, contents, habits, holes, links, names, types  # noqa: E402,F401
