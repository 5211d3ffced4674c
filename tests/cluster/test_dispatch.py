"""Which job goes where, and what becomes of those that die; without any process."""

from collections.abc import Callable

from circuitcheck.cluster.dispatch import TRIES, Dispatch, Gathered, Node
from circuitcheck.cluster.jobs import Job, Outcome
from circuitcheck.records.exchange.merging import Merged

DONE, KILLED = Outcome(0), Outcome(-9)


def job(model: str, file: str = "test_a.py") -> Job:
    return Job(model, file, ("test",), 1, 1, (model,))


class Machines:
    """Nodes on which a job ends when it is looked at, in the way that ``end`` says."""

    def __init__(self, end: Callable[[Job, str], Outcome], *nodes: Node):
        self.nodes, self.end = {node.name: node for node in nodes}, end
        self.started: list[tuple[str, str, str]] = []
        self.most: set[frozenset[str]] = set()
        self.running: list[tuple[Job, str]] = []
        self.stopped = False

    def alive(self) -> dict[str, Node]:
        return dict(self.nodes)

    def start(self, job: Job, node: str) -> None:
        self.started.append((job.model, job.file, node))
        self.running.append((job, node))
        assert [place for _, place in self.running].count(node) <= self.nodes[node].room

    def ended(self, timeout: float) -> list[tuple[Job, str, Outcome]]:
        self.most.add(frozenset(job.model for job, _ in self.running))
        job, node = self.running.pop(0)
        return [(job, node, self.end(job, node))]

    def merged(self) -> Merged:
        return Merged()

    def stop(self) -> None:
        self.stopped = True


def work(machines: Machines, *jobs: Job) -> tuple[Gathered, list[str]]:
    said: list[str] = []
    return Dispatch(machines, said.append, None).work_off(jobs), said


def test_jobs_of_one_model_do_not_run_at_once_where_others_wait() -> None:
    machines = Machines(lambda job, node: DONE, Node("one", 1), Node("two", 1))
    gathered, said = work(machines, *(job(model, file) for model in "abc" for file in ("1", "2")))
    assert (gathered.done, gathered.lost, said, machines.stopped) == (6, [], [], True)
    assert frozenset("ab") in machines.most
    assert all(len(some) == 2 for some in list(machines.most) if len(some) > 1)
    assert [model for model, *_ in machines.started[:3]] == ["a", "b", "c"]


def test_a_job_that_dies_is_tried_on_another_node() -> None:
    machines = Machines(lambda job, node: KILLED if node == "bad" else DONE, Node("bad", 1), Node("good", 1))
    gathered, said = work(machines, job("a"), job("b"))
    assert (gathered.done, gathered.retried, gathered.lost) == (2, said.__len__(), [])
    assert said[0] == "test_a.py of a died on bad (it was ended by signal 9): it goes on elsewhere, from what came home"
    of_a = [node for model, _, node in machines.started if model == "a"]
    assert of_a == ["bad", "good"]


def test_one_that_always_dies_is_given_up_with_its_last_words() -> None:
    machines = Machines(lambda job, node: Outcome(4, "usage: pytest") if job.model == "a" else DONE, Node("only", 1))
    gathered, _ = work(machines, job("a"), job("b"))
    [(lost, outcome)] = gathered.lost
    assert (lost.model, str(outcome), outcome.tail) == ("a", "pytest ended with 4", "usage: pytest")
    assert [model for model, *_ in machines.started].count("a") == TRIES


def test_a_job_goes_only_where_its_model_is() -> None:
    machines = Machines(lambda job, node: DONE, Node("one", 2, ("a",)), Node("two", 1, ("b",)), Node("none", 0))
    gathered, _ = work(machines, job("a"), job("b"), job("a", "test_b.py"))
    assert {(model, node) for model, _, node in machines.started} == {("a", "two"), ("b", "one")}
    nowhere = Machines(lambda job, node: DONE, Node("one", 2, ("a",)))
    gathered, _ = work(nowhere, job("a"))
    assert gathered.lost[0][1].tail == "no node that is left has room and the model's files"


def test_where_all_nodes_are_lost_what_waits_is_told() -> None:
    def lose(job: Job, node: str) -> Outcome:
        machines.nodes.clear()
        return Outcome(None)

    machines = Machines(lose, Node("one", 1))
    gathered, said = work(machines, job("a"), job("b"))
    assert [(lost.model, outcome.tail) for lost, outcome in gathered.lost] == [
        ("a", "no node is left"),
        ("b", "no node is left"),
    ]
    assert "its node was lost" in said[0]


def test_what_is_running_is_stopped_where_the_head_is_interrupted() -> None:
    def interrupt(job: Job, node: str) -> Outcome:
        raise KeyboardInterrupt

    machines = Machines(interrupt, Node("one", 1))
    try:
        work(machines, job("a"))
    except KeyboardInterrupt:
        assert machines.stopped
    else:
        raise AssertionError("the interruption was swallowed")


def test_tests_that_could_not_be_asked_are_told() -> None:
    machines = Machines(lambda job, node: Outcome(1, "", ("test: ModelError",)), Node("one", 1))
    gathered, _ = work(machines, job("a"))
    assert (gathered.done, [one.model for one, _ in gathered.troubled]) == (1, ["a"])
