"""Which model of a lock each model of a session is compared with, and the words for a model that is another one."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePath

from circuitcheck.errors import LockError
from circuitcheck.records.locks.entries import Content
from circuitcheck.records.locks.findings import Change, Finding
from circuitcheck.records.locks.lock import Lock
from circuitcheck.texts import plural

_LIBRARIES = ("torch", "transformer_lens")
_FIELDS = ("name", "architecture", "layers", "weights", "bos", "dtype", "saved")


def asked_in(lock: Lock) -> list[str]:
    """The names by which a lock's models were asked; the empty one where only one was."""
    names = [entry.get("asked") or "" for entry in lock.claims.values()]
    return [*dict.fromkeys([*names, *(one.asked or "" for one in lock.undecided)])]


def partners(old: Lock, new: Lock, baseline: str = "") -> dict[str, str | None]:
    """Of each model of ``new`` the one of ``old`` that it is compared with: the ``baseline``, where one is named; otherwise the one
    that was asked by its name, or both where each is the only one; an adapter's base, where that alone is there."""
    there, wanted = asked_in(old), asked_in(new)
    if baseline:
        return dict.fromkeys(wanted, _named(old, baseline))
    if there == [""] and wanted == [""]:
        return {"": ""}
    return {asked: next(_candidates(asked, old, new, there), None) for asked in wanted}


def about_models(old: Lock, new: Lock, partner_of: Mapping[str, str | None]) -> Iterator[Finding]:
    """How models have changed: no failure by itself."""
    for asked, other in partner_of.items():
        models = [model for model in new.models if (model.get("asked") or "") == asked]
        there = [model for model in old.models if (model.get("asked") or "") == other]
        for model in models:
            same = [
                *(one for one in there if one["fingerprint"] == model["fingerprint"]),
                *(one for one in there if one["name"] == model["name"]),
                *(there if len(models) == len(there) == 1 else []),
            ]
            if same:
                yield from _changed(same[0], model)


def asked_otherwise(
    old: Lock, new: Lock, partner_of: Mapping[str, str | None], expected: Collection[str] | None
) -> Iterator[Finding]:
    """Models that only one of the locks knows."""
    awaited = [entry for entry in old.claims.values() if expected is None or entry["test"] in expected]
    for asked, count in Counter(entry.get("asked") or "" for entry in awaited).items():
        if asked not in partner_of.values() and partner_of:
            what = Change(f"it was not asked ({plural(count, 'claim')}): see --circuit-model", weaker=True)
            yield Finding(f"model {asked or _sole_name(old)} of the lock", (what,))
    for asked, count in Counter(entry.get("asked") or "" for entry in new.claims.values()).items():
        if partner_of.get(asked) is None and old.claims:
            what = Change(f"it is not in the lock ({plural(count, 'claim')}; --circuit-lock=update takes it in)")
            yield Finding(f"model {asked or _sole_name(new)}", (what,))


def _named(lock: Lock, baseline: str) -> str:
    """How the model was asked that somebody names."""
    names = {model.get("asked") or model["name"]: model.get("asked") or "" for model in lock.models}
    names |= {PurePath(name).name: asked for name, asked in names.items()} | names
    if baseline not in names:
        there = ", ".join(dict.fromkeys(model.get("asked") or model["name"] for model in lock.models)) or "none"
        raise LockError(f"--circuit-baseline={baseline} names no model of the lock and no lock file (models: {there})")
    return names[baseline]


def _candidates(asked: str, old: Lock, new: Lock, there: Collection[str]) -> Iterator[str]:
    """The models of the old lock that one of the new stands next to, the nearest first."""
    if asked in there:
        yield asked
    name = asked or _sole_name(new)
    bases = [_base_of(asked)] if asked else [name.rpartition("+")[0]]
    for wanted in (name, *filter(None, bases)):
        for one in there:
            known = one or _sole_name(old)
            if wanted in (known, PurePath(known).name) or PurePath(wanted).name == known:
                yield one


def _base_of(asked: str) -> str:
    """An adapter's base as it is asked for; empty for what is no adapter."""
    name, *said = asked.split(",")
    rest = [one for one in said if not one.startswith("adapter=")]
    return ",".join([name, *rest]) if len(rest) < len(said) else ""


def _sole_name(lock: Lock) -> str:
    return next((str(model["name"]) for model in lock.models if not model.get("asked")), "")


def _changed(before: Content, now: Content) -> Iterator[Finding]:
    """What tells one model from another."""
    about = f"model {now['name']}"
    differ = _differences(before, now, _FIELDS)
    if before["fingerprint"] == now["fingerprint"]:
        if libraries := _differences(before, now, _LIBRARIES):
            yield Finding(about, (Change(f"it is run by {', '.join(libraries)}", fails=False),))
    elif not before["fingerprint"] and not differ:
        words = (
            f"it has a fingerprint of another definition in the lock, which does not say whether it has changed ({now['fingerprint']}): "
            "where its numbers are the same, it counts as the same (--circuit-lock=update writes the newer one)"
        )
        yield Finding(about, (Change(words, fails=False),))
    else:
        what = ", ".join(differ) or "its weights, configuration or vocabulary are others"
        words = f"it has changed ({before['fingerprint'] or 'unknown'} -> {now['fingerprint']}): {what}"
        yield Finding(about, (Change(words, fails=False),))


def _differences(before: Content, now: Content, names: Collection[str]) -> list[str]:
    there = [name for name in names if name in before and name in now]
    return [f"{name} {before[name]} -> {now[name]}" for name in there if before[name] != now[name]]
