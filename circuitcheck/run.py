"""A model on a population of pairs: the verbs.

run = model.on(FRUIT)
run.accuracy > 0.9
run.patch("L1.N8") > 0.4                  # denoising: the clean activation into the corrupted run
run.patch("L1.N8", into="clean") > 0.3    # noising: the corrupted one into the clean run
run.ablate("L1.N8", "mean") > 0.3
"""

from collections.abc import Mapping, Sequence
from typing import Literal, overload

from circuitcheck.addresses.circuits import Circuit
from circuitcheck.claims import probes, shrunk_circuits
from circuitcheck.claims.combining.comparing import Comparing
from circuitcheck.claims.combining.several import AllOf
from circuitcheck.claims.effects import Effect
from circuitcheck.claims.exact.dictionaries import FittedDictionary
from circuitcheck.claims.gathering import Gathering
from circuitcheck.claims.interchanged import Interchanged
from circuitcheck.claims.sweeping import swept
from circuitcheck.claims.sweeps import Sweep
from circuitcheck.engine.ablations import Ablation, held
from circuitcheck.experiments import observations
from circuitcheck.experiments.ablating import Ablate
from circuitcheck.experiments.behaviour import Accuracy, Gap
from circuitcheck.experiments.circuits.agreement import Agreement, Answers
from circuitcheck.experiments.circuits.completeness import Completeness
from circuitcheck.experiments.circuits.independence import Independence
from circuitcheck.experiments.circuits.minimality import Added
from circuitcheck.experiments.interchange import Interchange
from circuitcheck.experiments.keeping import Keep
from circuitcheck.experiments.patching import Patch
from circuitcheck.experiments.probing import directions
from circuitcheck.experiments.probing.concepts import Concept
from circuitcheck.experiments.probing.directions import Direction
from circuitcheck.experiments.scrubbing import Scrub
from circuitcheck.experiments.steering import Steer, Vector
from circuitcheck.finding.candidates import Candidates
from circuitcheck.finding.edges import SIZES, EdgeCircuits, find_edges
from circuitcheck.finding.find import find
from circuitcheck.ledger import note_sweep
from circuitcheck.prompts.pairs import Side


class Run:
    """A model on a population; made by ``model.on(pairs)``. Its verbs compute nothing: see ``Effect``."""

    def __init__(self, setup: Gathering):
        self._setup = setup

    def __repr__(self) -> str:
        return f"<run: {self._setup.pairs!r} on {self._setup.model.name}>"

    def show(self, n: int = 4) -> None:
        """Prints how the first ``n`` pairs are tokenised, slots in brackets, with answers, foils and what was rejected.

        model.on(FRUIT).show()
        """
        print(self._setup.tokenised(n))

    @property
    def accuracy(self) -> Effect:
        """The share of clean prompts that are answered right: above the foil, or top of all where there is none: ``model.on(FRUIT).accuracy > 0.9``."""
        return Effect(Accuracy.of(self._setup))

    @property
    def gap(self) -> Effect:
        """Clean minus corrupted readout, in its own unit: ``model.on(FRUIT).gap > 5`` (logits)."""
        return Effect(Gap.of(self._setup))

    def patch(
        self,
        site: str | Circuit,
        into: Side = "corrupt",
        along: Direction | None = None,
        *,
        through: str = "",
        ln: str = "",
    ) -> Effect:
        """Activation patching at the sites of an address, in the share of the gap.

            model.on(FRUIT).patch("L31.N892 | L26.H1@end") > 0.4
            model.on(FRUIT).patch("L26.H1 -> L31.N892") > 0.3
            model.on(TEST).patch("L1.RESID_POST@end", along=direction) > 0.4

        ``into="corrupt"`` puts the clean activation into the corrupted run (denoising): how much comes back?
        ``into="clean"`` puts the corrupted one into the clean run (noising): how much is lost? ``along`` a direction, its
        component in it alone; raises ``MethodError`` for pairs that the direction was found on.

        A path ("A -> B.Q") changes what B reads by the change in what A writes, and nothing else that B reads: every head
        and MLP on the way is held at the base run (``through="mlps"`` lets the MLPs move, as in Wang et al. 2022). What
        follows B is free. ``ln="frozen"`` holds the scales of the normalisations behind the sites, of a path that of its
        end, so that what a component writes is separated from the effect of rescaling. Raises ``MethodError`` for a path
        through blocks with a normalisation behind each sublayer, unless their scales are held.
        """
        return Effect(Patch.at(site, self._setup, into, along, held(through, ln)))

    def interchange(
        self,
        site: str | Circuit,
        variable: str | Sequence[str],
        along: "Direction | Literal['trained'] | None" = None,
        *,
        through: str = "",
        ln: str = "",
    ) -> Interchanged:
        """An interchange: what a site has in a source prompt, put into a base prompt. How often does the model then answer what the
        prompts' algorithm says where a variable alone takes the source's value?

            model.on(IOI).interchange("L17.H4@end | L20.H0@end", "order") > 0.5
            model.on(IOI).interchange("L23.H3@end", ("order", "n1")).of_gap > 0.8

        A share of the pairs whose base and source are both answered right: those in which the counterfactual answer stands above the
        base's own and the source's. Pairs in which it is one of these are left out. ``variable``: one of ``PromptPairs(variables=...)``,
        a slot, or several at once. ``.of_gap``: how far the answers have moved, 1 where the counterfactual one stands as far above the
        base's as that stood above it. ``along`` a direction, or "trained": a subspace found on the half "discover" of the prompts (distributed
        alignment search), claimed of the other. ``through`` and ``ln`` are those of ``patch``. Raises ``MethodError`` for rows, which
        have no algorithm, and for variables of which no prompts make a pair (Geiger et al. 2021).
        """
        return Interchanged(Interchange.at(site, self._setup, variable, along, held(through, ln)))

    def scrub(self, hypothesis: "Mapping[str | Circuit, str | Sequence[str]]", within: str | None = None) -> Effect:
        """Causal scrubbing: how much of the behaviour stays where each site has what other prompts have there that agree on what it carries?

            model.on(IOI).scrub({"L17.H4@end": "order", "L23.H3@end": ("n1", "n2", "order")}) > 0.9

        A site's donor is drawn from the clean prompts with the same values of these variables and slots, for each site by itself; its
        own run is scrubbed before it in the same way (Chan et al. 2022). All else ``within`` an address is resampled from any prompt;
        without it, left alone. In the share of what is lost where everything is resampled. Sites may be paths.
        """
        return Effect(Scrub.of(hypothesis, self._setup, within))

    def ablate(
        self,
        site: str | Circuit,
        value: "str | float | Ablation" = "mean",
        within: str | None = None,
        *,
        through: str = "",
        ln: str = "",
    ) -> Effect:
        """Ablation at the sites of an address in the clean run, in the share of the behaviour: how much is lost?

            model.on(FRUIT).ablate("L31.N892", "mean") > 0.3

        ``value``: "mean", "zero", "resample", "counterfactual" (what is there in the corrupted run), a number, or
        ``circuitcheck.scaled(-1)`` (what is there, times a factor); ``circuitcheck.mean(of="clean")`` names the reference
        prompts. Zero, numbers and factors leave the BOS token alone. The behaviour is what the run loses when everything
        in ``within`` (all heads and MLPs, where nothing is said) is ablated in the same way, with nothing held. What is
        scaled is not gone: its effect is in the share of the gap. ``through`` and ``ln`` are those of ``patch``: with
        ``ln="frozen"``, what a model repairs by rescaling is not repaired.
        """
        return Effect(Ablate.at(site, self._setup, value, within, held(through, ln)))

    def keep(
        self, circuit: str | Circuit, value: "str | float | Ablation" = "mean", within: str | None = None
    ) -> Effect:
        """All else in ``within`` ablated in the clean run: how much of the behaviour stays? (faithfulness)

            model.on(FRUIT).keep("L0.H2 | L1.N8") > 0.8
            model.on(FRUIT).keep(Circuit(movers="L9.H6 | L9.H9"), "resample", within="L*.H*") > 0.8

        In the share of the behaviour: (m(circuit) - m(nothing)) / (m(model) - m(nothing)), so that nothing keeps 0 and
        everything 1 (Wang et al. 2022). ``value`` is an ablation's, ``within`` all heads and MLPs where nothing is said;
        where the circuit has neurons of a layer, its MLP is ablated neuron by neuron. A circuit may have edges: a component
        at which some end hears only these (see ``circuitcheck.addresses.graphs``). Raises ``MethodError`` for members outside
        ``within``.
        """
        return Effect(Keep.at(circuit, self._setup, value, within))

    def steer(self, site: str | Circuit, direction: Vector, scale: float = 1.0, into: Side = "corrupt") -> Effect:
        """A vector added to the activation at the sites of an address, in the share of the gap.

            model.on(FRUIT).steer("L15.RESID_POST@{fruit}", vowel - consonant) > 0.4
            model.on(FRUIT).steer("L31.N892", 3.0, into="clean") < 0

        ``direction``: numbers of shape [width] (that of the stream, of a head, or 1 for a neuron), or what has them as
        ``.vector``; it is added ``scale`` times, at every addressed token but BOS. ``into="corrupt"``: how much comes back?
        ``into="clean"``: how much is lost? (Turner et al. 2023; Rimsky et al. 2024.) Raises ``MethodError`` for another width. A
        direction made of prompts needs others to be claimed on: see ``pairs.split``.
        """
        return Effect(Steer.at(site, self._setup, direction, scale, into))

    def direct(self, site: str | Circuit, side: Side = "clean") -> Effect:
        """Direct logit attribution: what components themselves write into the answer - foil logit difference, in logits.

            model.on(FRUIT).direct("L31.N892") > 1
            model.on(FRUIT).direct("L31.MLP").of_gap > 0.2

        Of neurons, heads, MLP and ATTN outputs and EMBED, at the last token, with the final norm's scale as it is in the run of
        that ``side``; of several sites the sum. ``.of_clean`` is the share of the clean readout; ``.of_gap`` is clean minus
        corrupted attribution as a share of the gap, 1 over all that writes. Raises ``MethodError`` for answers or foils of
        several tokens, and where logits are no sum of what components write (a soft cap; for neurons and heads, a norm behind
        their layer). Elhage et al. 2021.
        """
        return Effect(observations.direct(self._setup, site, side))

    def lens(self, site: str, side: Side = "clean") -> Effect:
        """The logit lens: the readout of a layer's stream at the last token, through the final norm and the unembedding.

            model.on(FRUIT).lens("L30.RESID_POST") > 0
            model.on(FRUIT).lens("L31.RESID_POST").of_gap > 0.5

        As if the model stopped there (nostalgebraist 2020), in the readout's unit. ``.of_clean`` is the share of the clean
        readout, ``.of_gap`` clean minus corrupted as a share of the gap. Raises ``MethodError`` for what is not one place of the
        stream (RESID_PRE, RESID_MID, RESID_POST), and for answers of several tokens.
        """
        return Effect(observations.lens(self._setup, site, side))

    def attention(self, head: str, source: str, destination: str = "@end", side: Side = "clean") -> Effect:
        """The attention that a head pays from one token to others: between 0 and 1, in the mean over the pairs.

            model.on(IOI).attention("L9.H6", source="{io}") > 0.5
            model.on(IOI).attention("L3.H0", source="{s}", destination="{giver}") > 0.3

        ``source`` and ``destination`` are positions ("{io}", "@{tree}[2]", "@-2"). What is paid to several source tokens is
        added up; the destination is one token. Read in the run of that ``side``. Raises ``MethodError`` for what is not one
        head, for a destination of several tokens and for a source that lies behind it.
        """
        return Effect(observations.attention(self._setup, head, source, destination, side))

    def probe(self, site: str, concept: Concept) -> probes.Probe:
        """A linear probe for a concept at a site: is it readable there, of fillers that the probe has not seen?

            probe = model.on(FOUND).probe("L1.RESID_POST@end", lambda f: f["noun"][0] in "aeiou")
            assert probe.accuracy > 0.9
            assert probe.beats_controls()

        ``concept`` is a function of a prompt's fillers, a slot's name (each filler a class), a column of rows (of the clean prompts; with
        ``generalise`` another column, whose values are new in each fold) or "side" (clean or corrupted). What
        must be new is the slot that it looks at, or what ``model.on(pairs, generalise=...)`` says. One component, or neurons of
        one layer, at one token (of several, the last). Needs ``circuitcheck[probes]``. Raises ``MethodError`` for fewer than 6
        fillers, or a class that only one of them has.
        """
        return probes.probe(self._setup, site, concept)

    def mean_difference(self, site: str) -> Direction:
        """The direction from the corrupted to the clean prompts' mean activation at a site, over the reference pairs.

            direction = model.on(FRUIT.split("discover")).mean_difference("L1.RESID_POST@end")
            assert model.on(FRUIT.split("confirm")).patch("L1.RESID_POST@end", along=direction) > 0.5

        One component, or neurons of one layer, at one token (of several, the last). The pairs are all of a small population,
        128 drawn ones of a larger one.
        """
        return directions.mean_difference(self._setup, site)

    def dictionary(self, site: str) -> FittedDictionary:
        """How well the dictionary that is attached at a site fits there, on the clean prompts.

            model.on(TEXTS).dictionary("L12.RESID_POST").explained > 0.7

        ``.explained``, ``.loss_recovered``, ``.l0`` and ``.dead``, ``.beats_random()`` and ``.matched(other)``: see ``FittedDictionary``.
        """
        return FittedDictionary(self._setup, site)

    def completeness(
        self,
        circuit: str | Circuit,
        value: "str | float | Ablation" = "mean",
        within: str | None = None,
        *,
        without: "str | Circuit | None" = None,
        n: int = 100,
    ) -> Effect:
        """What the model keeps of the behaviour without K over what the circuit keeps without K, for the worst K found.

            model.on(NAMES).completeness(IOI) == pytest.approx(0, abs=0.2)
            model.on(NAMES).completeness(IOI, without=IOI.groups["movers"]) < 0.1

        In the share of the behaviour: (m(M without K) - m(C without K)) / (m(M) - m(nothing)), above 0 where the model has
        something that the circuit lacks. K is a part of the circuit's members: looked for on reference pairs, greedily and
        among ``n`` parts at random (all parts, where there are no more), or given as ``without``. ``value`` and ``within`` are
        those of ``keep``. Raises ``MethodError`` for edges and for members that overlap or lie outside ``within``.
        """
        return Effect(Completeness.of(circuit, self._setup, value, within, without, n))

    def minimality(
        self, circuit: str | Circuit, value: "str | float | Ablation" = "mean", within: str | None = None
    ) -> AllOf:
        """What each member adds to the circuit without a part K of the others, for the K found for which it adds most.

            model.on(NAMES).minimality(IOI) > 0.02

        Each in the share of the behaviour: |m(C without K) - m(C without K and it)| / (m(M) - m(nothing)). K, and whether the
        member works for the behaviour or against it, are found greedily on reference pairs. Supported where every member is;
        refuted by one, which is named. ``value`` and ``within`` are those of ``keep``. Raises ``MethodError`` for edges and for
        members that overlap or lie outside ``within``.
        """
        whole, members = Added.by_each(circuit, self._setup, value, within)
        return AllOf(whole, "members", {member: Comparing(one) for member, one in members.items()})

    def agreement(
        self,
        circuit: str | Circuit,
        value: "str | float | Ablation" = "mean",
        within: str | None = None,
        on: Answers = "errors",
    ) -> Effect:
        """The share of the model's errors that the circuit by itself makes too.

            model.on(NAMES).agreement(IOI) > 0.5
            model.on(NAMES).agreement(IOI, on="all") > 0.95

        An answer is the answer or the foil, whichever stands above the other (see ``accuracy``); all else in ``within`` is
        ablated, as ``keep`` does it. ``on``: among the model's "errors", its "right" answers, or "all" pairs; what is wrong
        always makes all the errors, so that a claim on them wants one on the right answers beside it. Raises
        ``BehaviourAbsent`` where the model has no such answers, ``MethodError`` for prompts without a foil.
        """
        return Effect(Agreement.of(circuit, self._setup, value, within, on))

    def independence(self, circuit: str | Circuit) -> Effect:
        """What of the gap gets past the circuit: how far each pair's answer still moves where the circuit stays as it is.

            model.on(NAMES).independence(IOI) < 0.05

        In the share of the gap: E|m(clean, the circuit's activations corrupted) - m(corrupted)| / E[gap]; 0 where all else says
        nothing of what differs between clean and corrupted prompts. Of other differences between prompts it says nothing.
        """
        return Effect(Independence.of(circuit, self._setup))

    def shrink(
        self,
        circuit: str | Circuit,
        above: float,
        value: "str | float | Ablation" = "mean",
        within: str | None = None,
    ) -> shrunk_circuits.Shrunk:
        """A smaller circuit that keeps more than a share ``above`` of the behaviour.

            smaller = model.on(NAMES).shrink(IOI, above=0.85)
            assert smaller.confirmed > 0.8

        One member after another is removed, the one that makes least difference, as long as ``keep`` stays above the threshold on
        (at most 64 pairs of) the half ``pairs.split("discover")``. ``confirmed`` is an ``Effect`` on ``pairs.split("confirm")``.
        ``value`` and ``within`` are those of ``keep``. Raises ``MethodError`` for edges and for a circuit that does not keep so much,
        ``BehaviourAbsent`` where there is no behaviour, ``PromptError`` for pairs that are a half already.
        """
        return shrunk_circuits.shrink(self._setup, circuit, above, value, within)

    def sweep(
        self,
        sites: str,
        verb: Literal["patch", "ablate", "direct", "lens"] = "patch",
        *,
        into: Side = "corrupt",
        value: "str | float | Ablation" = "mean",
    ) -> Sweep:
        """The effect of each site of an address by itself, in common batches: a labelled array, with a picture.

            model.on(FRUIT).sweep("L31.N*").top(5)
            model.on(FRUIT).sweep("L*.RESID_PRE@*")          # each token by itself, where @* is written
            model.on(FRUIT).sweep("L*.H*", verb="ablate", value="mean")
            model.on(FRUIT).sweep("L*.RESID_POST", verb="lens")

        ``into`` and ``value`` are those of ``patch`` and ``ablate``. It describes, and decides nothing.
        """
        sweep = swept(self._setup, sites, verb, into, value)
        note_sweep(sweep)
        return sweep

    @overload
    def find(
        self, /, address: str, top: int = 20, *, into: Side = "corrupt", steps: int = 1, pairs: int = 64
    ) -> Candidates: ...
    @overload
    def find(
        self, /, address: str, *, edges: Literal[True], into: Side = "corrupt", steps: int = 5, pairs: int = 64,
        sizes: Sequence[int] = SIZES,
    ) -> EdgeCircuits: ...  # fmt: skip
    def find(
        self, address: str, top: int = 20, *, edges: bool = False, into: Side = "corrupt", steps: int | None = None,
        pairs: int = 64, sizes: Sequence[int] = SIZES,
    ) -> Candidates | EdgeCircuits:  # fmt: skip
        """Attribution patching of every component of an address, and exact effects of the best of each kind.

            candidates = model.on(FRUIT.split("discover")).find("L*.N* | L*.H* | L*.MLP", top=20)
            candidates.write("hypotheses/test_fruit.py")
            found = model.on(FRUIT).find("L*.H* | L*.MLP", edges=True)

        One forward and one backward pass a batch attribute what patching each component at each position would do, to first
        order: the slope of the run that is written ``into``, times what the patch changes; with ``steps``, the mean slope of as
        many runs between the two prompts (integrated gradients). A component's address has the position that carries most of it.
        The ``top`` of each kind by size, either way, are then measured by ``patch``, and sublayers at the first token that
        differs always, where attribution says little. At most so many ``pairs``, which the population alone decides. ``edges`` between
        heads and MLPs are attributed on one half, and circuits of ``sizes`` edges kept on the other: see ``EdgeCircuits``. Raises
        ``MethodError`` for what has no slope (accuracy, rank), ``BehaviourAbsent`` where there is no gap. Nanda 2023; Syed et al. 2023.
        """
        if edges:
            return find_edges(self._setup, address, into, 5 if steps is None else steps, pairs, sizes)
        candidates = find(self._setup, address, top, into, 1 if steps is None else steps, pairs)
        note_sweep(candidates)
        return candidates
