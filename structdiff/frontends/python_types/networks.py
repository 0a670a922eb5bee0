"""Addresses of the network as Python's ``ipaddress``, ``email_validator`` and Pydantic's URL types read them.

>>> from structdiff.automata.compiling import compile_tree
>>> a = compile_tree(ipv4_networks())
>>> [a.accepts(text) for text in (b"10.0.0.0/8", b"10.0.0.5/8", b"10.0.0.0/33")]
[True, False, False]
"""

from __future__ import annotations

from collections.abc import Sequence

from structdiff.automata.compiling import compile_tree
from structdiff.automata.tree import EMPTY, Embedded, Node, Repeat, literal, optional, sequence, union
from structdiff.frontends.regex.parser import parse_regex
from structdiff.frontends.values.formats import format_node

# ----------------------------------------------------------------------------------------------------- IP addresses


def _address(version: int) -> Node:
    node = format_node(f"ipv{version}")
    assert node is not None
    return node


def _length(bits: int) -> Node:
    """``/0`` to ``/bits``, without leading zeros."""
    return sequence(literal("/"), union(*(literal(str(length)) for length in range(bits + 1))))


def ip_addresses(*versions: int) -> Node:
    """Addresses of IP version 4, 6 or both."""
    return union(*map(_address, versions))


def ip_interfaces(*versions: int) -> Node:
    """Addresses, perhaps with the length of the network's prefix."""
    return union(*(sequence(_address(version), optional(_length(32 if version == 4 else 128))) for version in versions))


def ip_networks(*versions: int) -> Node:
    """Networks: the bits behind the prefix are zero. Those of version 6 are written ``2001:db8::/32``, a group that the
    prefix cuts with four digits."""
    return union(*({4: ipv4_networks, 6: ipv6_networks}[version]() for version in versions))


def ipv4_networks() -> Node:
    octet = union(*(literal(str(value)) for value in range(256)))
    parts = [_address(4)]
    for length in range(33):
        whole, bits = divmod(length, 8)
        octets: list[Node] = [octet] * whole
        if bits:
            octets.append(union(*(literal(str(value)) for value in range(0, 256, 1 << (8 - bits)))))
        octets += [literal("0")] * (4 - len(octets))
        parts.append(sequence(*_joined(octets, "."), literal(f"/{length}")))
    return union(*parts)


def ipv6_networks() -> Node:
    group = parse_regex("[0-9A-Fa-f]{1,4}")
    parts: list[Node] = [_address(6), literal("::/0"), sequence(_address(6), literal("/128"))]
    for length in range(1, 113):
        whole, bits = divmod(length, 16)
        groups: list[Node] = [group] * whole
        if bits:
            groups.append(_cut_group(bits))
        parts.append(sequence(*_joined(groups, ":"), literal(f"::/{length}")))
    return union(*parts)


def _cut_group(bits: int) -> Node:
    """Four hexadecimal digits of which only the first ``bits`` bits may be set."""
    digits = []
    for place in range(4):
        free = min(max(bits - 4 * place, 0), 4)
        values = range(0, 16, 1 << (4 - free)) if free else [0]
        digits.append(union(*(literal(char) for value in values for char in {f"{value:x}", f"{value:X}"})))
    return sequence(*digits)


def _joined(nodes: Sequence[Node], mark: str) -> list[Node]:
    return [part for i, node in enumerate(nodes) for part in ((literal(mark), node) if i else (node,))]


# ------------------------------------------------------------------------------------------------------------- email

_SPECIAL_DOMAINS = ("arpa", "invalid", "local", "localhost", "onion", "test", "example")
_ATEXT = "a-zA-Z0-9!#$%&'*+/=?^_`{|}~-"


def emails() -> Node:
    """Addresses that ``email_validator`` accepts: up to 64 characters, and two to four labels, the last of
    which is no special name.

    Missing: quoted and international addresses, and longer domains.
    """
    local = compile_tree(parse_regex(f"[{_ATEXT}]+(?:\\.[{_ATEXT}]+)*")) & compile_tree(parse_regex("[!-~]{1,64}"))
    label = parse_regex("(?!..--)[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,38}[a-zA-Z0-9])?")
    special = "|".join("".join(f"[{char}{char.upper()}]" for char in name) for name in _SPECIAL_DOMAINS)
    top = parse_regex(f"(?!(?:{special})$)(?!..--)[a-zA-Z][a-zA-Z0-9-]{{0,22}}[a-zA-Z]")
    return sequence(Embedded(local), literal("@"), Repeat(sequence(label, literal(".")), 1, 3), top)


def named_emails() -> Node:
    """An address, or a name and an address in angle brackets."""
    name = parse_regex("[A-Za-z0-9](?:[A-Za-z0-9 ]{0,62}[A-Za-z0-9])?")
    return union(emails(), sequence(name, literal(" <"), emails(), literal(">")))


# --------------------------------------------------------------------------------------------------------------- URL

_SPECIAL = ("http", "https", "ws", "wss", "ftp", "file")
_LABEL = "[a-z0-9_]+(?:-[a-z0-9_]+)*"
_LAST_LABEL = "[a-z](?:[a-z0-9]|-[a-z0-9])*"
_PCHAR = "(?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_USER_CHAR = "(?:[a-zA-Z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})"
_USER = f"(?:{_USER_CHAR}+(?::{_USER_CHAR}*)?@)?"
_PORT = "(?::(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
_ENDING = f"(?:/{_PCHAR}*)*(?:\\?(?:{_PCHAR}|[/?])*)?(?:#(?:{_PCHAR}|[/?])*)?"


def urls(schemes: Sequence[str] | None = None, host_required: bool = False, hosts: int = 1) -> Node:
    """URLs of some schemes, or of any: ``scheme://host``, with user, port, path, query and fragment.

    Hosts are names of ASCII letters in lower case, the last label of which begins with a letter, or IPv4 addresses.
    Up to ``hosts`` of them stand beside each other with commas. Missing: international names and IPv6 addresses.
    """
    host = union(parse_regex(f"(?:(?!xn--){_LABEL}\\.)*(?!xn--){_LAST_LABEL}"), _address(4))
    authority = sequence(host, parse_regex(_PORT))
    more = Repeat(sequence(literal(","), authority), 0, hosts - 1)
    rest = sequence(literal("://"), parse_regex(_USER), authority, more, parse_regex(_ENDING))
    if schemes is None:
        special = "|".join(_SPECIAL)
        path = parse_regex(f"(?!(?:{special}):)[a-z][a-z0-9+.-]*:{_PCHAR}+(?:/{_PCHAR}*)*")
        begun = Embedded(compile_tree(parse_regex("[a-z][a-z0-9+.-]*")) - compile_tree(literal("file")))
        return union(sequence(begun, rest), path)
    names = [name for name in schemes if name != "file"]
    parts: list[Node] = [sequence(union(*map(literal, names)), rest)] if names else []
    if "file" in schemes:
        parts.append(parse_regex(f"file://(?:{_LAST_LABEL})?(?:/{_PCHAR}+)+"))
    if not host_required and hosts == 1:
        plain = [name for name in names if name not in _SPECIAL]
        if plain:
            parts.append(sequence(union(*map(literal, plain)), literal("://"), EMPTY, parse_regex(f"(?:/{_PCHAR}+)+")))
    return union(*parts)
