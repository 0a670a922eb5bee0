"""Facts that follow from others and are spelt nowhere: how many rows a list has, whether a status means done.

Declared as a kind with the path of what they follow from::

    lines list 1-9 | items
    positions count lines | item_count
    dearest most lines.price name | most_expensive_item
    status enum open={open}; paid={paid}; late={overdue}
    settled implied status yes=paid; no=open,late | is_settled
"""

from __future__ import annotations

from copy import copy

from training.documents.facts import Fact, Group, Many

RULES = ("count", "implied", "most", "least", "head", "tail")
Members = dict[str, Fact | Group | Many]


def waiting(rule: str, arg: str) -> Fact:
    """The fact before the document is written."""
    return Fact("derived", (), None, "", missing=True, extra={"rule": rule, "arg": arg})


def derive(members: Members, top: Members | None = None) -> None:
    """Give the derived facts among ``members`` and below their values; to be called when it is known what is stated.

    One that the text leaves open (two rows share the highest price) is taken out.
    """
    top = members if top is None else top
    for one in list(members.values()):
        if isinstance(one, Group):
            derive(one.members, top)
        elif isinstance(one, Many):
            for item in [*one.items, one.like]:
                derive(item.members)
    for name, one in list(members.items()):
        if isinstance(one, Fact) and one.kind == "derived":
            found = _value(one, {**top, **members})
            if found is None:
                del members[name]
                continue
            found.names, found.notes, found.vague, found.labels = one.names, one.notes, one.vague, one.labels
            members[name] = found


def _value(fact: Fact, members: Members) -> Fact | None:
    rule, arg = fact.extra["rule"], fact.extra["arg"]
    path, _, rest = arg.partition(" ")
    if rule == "implied":
        return _implied(members.get(path), rest)
    name, _, member = path.partition(".")
    many = members.get(name)
    if not isinstance(many, Many):
        raise ValueError(f"{rule} {arg}: {name!r} is no list")
    if rule == "count":
        return Fact("integer", (), len(many.items), "", missing=many.missing)
    if many.missing or not many.items:
        unknown = copy(many.like.members[rest or member])
        assert isinstance(unknown, Fact)
        unknown.missing = True
        return unknown
    item = _item(rule, many, member)
    found = item.members.get(rest or member) if item else None
    return copy(found) if isinstance(found, Fact) else None


def _implied(source: object, labels: str) -> Fact | None:
    if not isinstance(source, Fact) or source.missing:
        return Fact("boolean", (), None, "", missing=True)
    for one in labels.split(";"):
        answer, _, of = one.partition("=")
        if str(source.value).lower() in [label.strip().lower() for label in of.split(",")]:
            return Fact("boolean", (), answer.strip() == "yes", "")
    return None


def _item(rule: str, many: Many, member: str) -> Group | None:
    if rule in ("head", "tail"):
        return many.items[0] if rule == "head" else many.items[-1]
    facts = [item.members.get(member) for item in many.items]
    values = [fact.value for fact in facts if isinstance(fact, Fact) and not fact.missing]
    if len(values) < len(facts):
        return None
    best = max(values) if rule == "most" else min(values)
    return many.items[values.index(best)] if values.count(best) == 1 else None
