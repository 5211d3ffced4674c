"""One description of pairs of pictures: a function that draws, slots, classes.

    ImagePairs(fruit, shape=contrast(clean=["disc", "egg"], corrupt=["pod", "bar"]), shade=["canary", "gold"], answer="lemon", foil="banana")

All else is as of prompts: see ``PromptPairs``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NoReturn

from circuitcheck.errors import PromptError
from circuitcheck.prompts.descriptions import Description
from circuitcheck.prompts.images.pictures import Attack, Change, Drawing, Picture, RandomSigns
from circuitcheck.prompts.pairs import Pair, Prompt
from circuitcheck.prompts.populations import FIXED_SEED, Population
from circuitcheck.prompts.prompt_pairs import PromptPairs
from circuitcheck.prompts.slots import Choice, Text, contrast, slot_of, slots_of
from circuitcheck.prompts.variables.answers import AnswerSpec, spec_of
from circuitcheck.texts import digest

# Pairs whose pictures are part of what a population is known by.
_LOOKED_AT = 8
_PICTURE = "picture"


@dataclass(frozen=True, eq=False, repr=False)
class ImageDescription(Description):
    """All that says which pairs of pictures there are: what draws them, and what is done to the corrupted ones."""

    drawing: Drawing | None = None
    change: Change | None = None

    def example(self, row: Pair) -> "ImageDescription":
        return replace(self, rows=(row,), templates=(), is_example=True)

    def render(self, template: int, chosen: Mapping[str, tuple[str, str]]) -> Pair:
        """The pair in which ``chosen`` fills the slots."""
        pair = super().render(template, chosen)
        if self.rows:
            return pair
        clean, corrupt = self._picture(pair.clean, None), self._picture(pair.corrupt, self.change)
        which = ((self.grouped_by, clean.text, clean.text),) if self.grouped_by else ()
        return replace(pair, clean=clean, corrupt=corrupt, fillers=(*pair.fillers, *which))

    def cluster(self, template: int, chosen: Mapping[str, tuple[str, str]], by: str) -> str | None:
        if by and by == self.grouped_by:
            return self.render(template, chosen).cluster(by)
        return super().cluster(template, chosen, by)

    @property
    def grouped_by(self) -> str:
        """The picture, where one and the same is attacked several times: towards other foils, which are not drawn."""
        if self.rows or self.change is None:
            return ""
        waiting, drawn = list(slots_of(self.templates[0])), set[str]()
        while waiting:
            drawn.add(name := waiting.pop())
            slot = self.slots[name]
            waiting += slot.slots if isinstance(slot, Text) else ()
        several = (name for name, options in self.choices(0).items() if len(options) > 1)
        return "" if drawn.issuperset(several) else _PICTURE

    def _picture(self, prompt: Prompt, change: Change | None) -> Picture:
        return Picture(prompt.segments, drawing=self.drawing, change=change)

    def as_json(self) -> dict[str, Any]:
        return super().as_json() | ({} if self.change is None else {"change": repr(self.change)})

    def in_parts(self) -> dict[str, list[str]]:
        return super().in_parts() | ({} if self.change is None else {"change": [self.change.words]})

    def __repr__(self) -> str:
        changed = "" if self.change is None else f".{self.change.words}"
        if self.rows:
            return f"ImagePairs of {self.rows[0].clean.text}{changed}"
        return f"ImagePairs({self.written(0)}){changed}"

    @property
    def is_contrast(self) -> bool:
        """Whether there are corrupted pictures: without a contrast and unchanged, clean ones are all that is claimed about."""
        if self.rows:
            return self.rows[0].is_contrast
        return self.change is not None or any(map(self._differs, self.slots))

    @property
    def without_contrast(self) -> None:
        """Nothing: whoever gives no contrast claims about clean pictures alone."""
        return None

    @property
    def how(self) -> str:
        return "" if self.change is None else self.change.how


class ImagePairs(PromptPairs):
    """A population of clean / corrupted pictures, described once.

        FRUIT = ImagePairs(
            draw, shape=contrast(clean=["disc", "egg"], corrupt=["pod", "bar"]), shade=["canary", "gold", "corn"],
            answer="lemon", foil="banana",
        )
        assert model.on(FRUIT).patch("L3.RESID_POST@cls") > 0.5

    ``draw`` is a function whose parameters name slots; it gives an array [height, width, 3] in [0, 1] (or of uint8), or a picture of PIL's, of
    the size that the model reads, and the same one each time. Slots, ``where``, ``distinct`` and ``variables`` are those of ``PromptPairs``;
    ``answer`` and ``foil`` are names of classes of the model's head. Without a contrast claims are about clean pictures alone, until they are
    ``attacked``. Positions are ``@cls``, where the prediction is read, ``@patch{3,4}``, by row and column, and ``@*``. Raises ``PromptError`` for
    a description that cannot be.
    """

    def __init__(
        self,
        draw: Callable[..., Any],
        *,
        answer: AnswerSpec,
        foil: AnswerSpec = (),
        where: Callable[..., bool] | None = None,
        distinct: Sequence[str] = (),
        variables: Mapping[str, Callable[..., Any]] | None = None,
        **slots: Sequence[str] | Mapping[str, float] | contrast | str,
    ):
        if _PICTURE in slots:
            raise PromptError(f"{_PICTURE!r} cannot be a slot: it is what attacked pictures are told apart by")
        drawing = Drawing.of(draw, list(slots))
        self.description = ImageDescription(
            (drawing.template,),
            ((),),
            {slot: slot_of(slot, value) for slot, value in slots.items()},
            spec_of("answer", answer),
            spec_of("foil", foil),
            where,
            (distinct,) if isinstance(distinct, str) else tuple(distinct),
            variables={} if variables is None else variables,
            drawing=drawing,
        )
        self.description.check()
        self.left_out: tuple[str, ...] = ()
        self._halves: dict[tuple[str, tuple[str, ...]], PromptPairs] = {}

    def attacked(
        self,
        eps: float,
        steps: int = 8,
        *,
        targeted: bool = True,
        random_start: bool = False,
        seed: int = 0,
        by: Any = None,
    ) -> "ImagePairs":
        """Each clean picture, and the same one attacked as the corrupted side.

            FRUIT.attacked(eps=6 / 255, steps=8)                    # iterated FGSM towards the foil
            FRUIT.attacked(eps=6 / 255, targeted=False)             # away from the answer
            FRUIT.attacked(eps=6 / 255, random_start=True, seed=1)  # PGD
            FRUIT.attacked(eps=6 / 255, by=other)                   # made on another model: does it transfer?

        ``eps``: how far a colour of a pixel may be moved, of pixels in [0, 1], where all stay. Each step moves them by ``2 * eps / steps`` along the
        signs of the gradient. Attacks that fail count; how many do, reports say. The pixels are kept in the store (signs of gradients may differ by the
        number of threads), and evidence is about these. Where a picture is attacked several times (towards foils of a slot that is not drawn) the
        statement is one about new pictures, each of which counts once: ``generalise="picture"``. Raises ``PromptError`` for pictures that are changed already, and for no foil to go towards.
        """
        _check_eps(eps)
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise PromptError(f"attacked(steps={steps!r}): an attack has a whole number of steps, 1 or more")
        if targeted and not (self.description.foil or self.rows):
            raise PromptError(
                f"{self!r} has no foil that an attack could go towards: give foil=..., or attacked(targeted=False)"
            )
        by = getattr(by, "_loaded", by)  # of a Model, the loaded model that attacks are made on
        fingerprint = "" if by is None else by.fingerprint
        return self._changed(Attack(float(eps), steps, targeted, random_start, seed, fingerprint, by))

    def with_random_signs(self, eps: float, seed: int = 0) -> "ImagePairs":
        """Each clean picture, and the same one with every colour of every pixel moved by ``eps``, up or down at random: the control of an
        attack.

            assert model.on(FRUIT.with_random_signs(eps=6 / 255)).gap == pytest.approx(0, abs=0.5)
        """
        _check_eps(eps)
        return self._changed(RandomSigns(float(eps), seed))

    def _changed(self, change: Change) -> "ImagePairs":
        description = self.description
        if not isinstance(description, ImageDescription) or description.change is not None:
            raise PromptError(f"{self!r} is changed already: change the pictures that it was made of")
        self._refuse_half(change.words.partition("(")[0])
        slots = {name: _clean(slot) for name, slot in description.slots.items()}
        made = type(self).__new__(type(self))
        made.description, made.left_out, made._halves = replace(description, slots=slots, change=change), (), {}
        return made

    @property
    def identity(self) -> str:
        """16 hex digits of the description, and of what is drawn in some of the pairs: another function of the same name draws others."""
        known: dict[str, str] = vars(self)
        if "_identity" not in known:
            pairs = () if self.rows else islice(Population(self.description, FIXED_SEED).draw("reference"), _LOOKED_AT)
            drawn = [side.looks for pair in pairs for side in (pair.clean, pair.corrupt) if isinstance(side, Picture)]
            known["_identity"] = digest([super().identity, drawn], 16)
        return known["_identity"]

    def with_prefix(self, prefixes: Sequence[str]) -> NoReturn:
        """Of text alone."""
        raise PromptError(f"{self!r} are pictures, in front of which no text can stand")

    def with_typos(self, kinds: Sequence[str] = ()) -> NoReturn:
        """Of text alone."""
        raise PromptError(
            f"{self!r} are pictures, which have no typographical errors: with_random_signs(eps=...) changes pixels"
        )

    @classmethod
    def _table(cls, source: str, rows: Iterable[Any], *_: Any) -> NoReturn:
        raise PromptError(f"ImagePairs are drawn by a function: ImagePairs(draw, ...), not {source}")


def _check_eps(eps: float) -> None:
    if isinstance(eps, bool) or not isinstance(eps, int | float) or not 0 < eps <= 1:
        raise PromptError(f"eps={eps!r}: pixels are in [0, 1], and eps is how far they are moved, such as 6 / 255")


def _clean(slot: Choice | Text) -> Choice | Text:
    """A slot with its clean side on both sides."""
    if isinstance(slot, Text):
        return Text(slot.clean, slot.clean)
    weights: dict[str, float] = {}
    for place, (clean, _) in enumerate(slot.options):
        weights[clean] = weights.get(clean, 0.0) + (slot.weights[place] if slot.weights else 1.0)
    alike = len(set(weights.values())) == 1
    return Choice(tuple((clean, clean) for clean in weights), () if alike else tuple(weights.values()))
