"""What all steps share: the graph is checked after each, and an error says which step it was, with the graph."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from torch.fx import Graph, GraphModule

from jepa_core.jacobian.batch_plan import is_out_of_memory

_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")


class GraphError(RuntimeError):
    """A step that failed. Its message begins with the step; a note has the graph as it was then, if there was one."""

    def __init__(self, step: str, error: Exception, graph: Graph | None = None) -> None:
        super().__init__(f"{step}: {first_line(error)}")
        if graph is not None:
            self.add_note(f"The graph was\n{listing(graph)}")


def first_line(error: Exception) -> str:
    """What an error says in its first line, or its kind where it says nothing."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def graph_step(name: str) -> Callable[[Callable[_Given, _Made]], Callable[_Given, _Made]]:
    """Have a step's errors say that it was this one. A lack of memory stays what it is: smaller parts meet it.

    >>> @graph_step("turning")
    ... def turn(graph):
    ...     raise KeyError("no such node")
    >>> turn(None)
    Traceback (most recent call last):
    ...
    jepa_core.jacobian.graph_steps.step.GraphError: turning: 'no such node'
    """

    def named(step: Callable[_Given, _Made]) -> Callable[_Given, _Made]:
        @functools.wraps(step)
        def checked(*args: _Given.args, **options: _Given.kwargs) -> _Made:
            try:
                return step(*args, **options)
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                graph = next((part.graph for part in args if isinstance(part, GraphModule)), None)
                raise GraphError(name, error, graph) from error

        return checked

    return named


def listing(graph: Graph) -> str:
    """A graph's operations, one a line, without the options of each."""
    lines = []
    for node in graph.nodes:
        operands = ", ".join(operand.name for operand in node.all_input_nodes)
        match node.op:
            case "placeholder" | "get_attr":
                lines.append(f"{node.name} is {'given' if node.op == 'placeholder' else 'a weight'}")
            case "output":
                lines.append(f"result: {operands}")
            case _:
                kind = getattr(node.target, "overloadpacket", node.target)
                lines.append(f"{node.name} = {kind.__name__}({operands})")
    return "\n".join(lines)
