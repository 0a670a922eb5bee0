"""The validators that Pydantic adds as Python functions: what each checks, as a JSON Schema.

A function of a user's own says nothing here: what it rejects is a `ValidationFailed` of the output.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

from structdiff.frontends.python_types.texts import of_type

Schema = dict[str, Any]

_IP = {
    f"ip_v{version}_{kind}_validator": of_type(
        f"ip-{kind}", f"ipv{version}{'' if kind == 'address' else kind}", versions=[version]
    )
    for version in (4, 6)
    for kind in ("address", "network", "interface")
}
_PLAIN: dict[str, Schema] = {
    **_IP,
    "pattern_either_validator": of_type("regex"),
    "pattern_str_validator": of_type("regex"),
    "pattern_bytes_validator": of_type("regex"),
    "validate_str_is_valid_iana_tz": of_type("zone", "time zone"),
    "IPvAnyAddress._validate": of_type("ip-address", "ip address", versions=[4, 6]),
    "IPvAnyInterface._validate": of_type("ip-interface", "ip interface", versions=[4, 6]),
    "IPvAnyNetwork._validate": of_type("ip-network", "ip network", versions=[4, 6]),
    "EmailStr._validate": of_type("email"),
    "NameEmail._validate": of_type("name-email", "name <email>"),
}
"""Functions whose argument is a string, and the strings that they accept."""
_IP_CLASSES = {
    getattr(ipaddress, f"IPv{version}{kind}"): _IP[f"ip_v{version}_{kind.lower()}_validator"]
    for version in (4, 6)
    for kind in ("Address", "Network", "Interface")
}
HARMLESS = ("path_validator", "wrap_val", "defaultdict_validator", "sequence_validator", "SecretStr", "SecretBytes")
"""Functions that accept whatever the schema inside them does."""
REFUSED = {
    "PathType.validate_file": "whether a file exists is no property of the text",
    "PathType.validate_directory": "whether a folder exists is no property of the text",
    "PathType.validate_new": "whether a path is free is no property of the text",
    "PathType.validate_socket": "whether a socket exists is no property of the text",
    "import_string": "whether a name can be imported is no property of the text",
    "PaymentCardNumber.validate": "the digits of a card number have a checksum",
}


def bare(function: Any) -> Any:
    """The function inside a `functools.partial`."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def name_of(function: Any) -> str:
    """The class and the name of a function: ``EmailStr._validate``, ``path_validator``."""
    qualified = getattr(bare(function), "__qualname__", type(function).__name__)
    return str(qualified).rpartition("<locals>.")[2]


def is_of_pydantic(function: Any) -> bool:
    """Did Pydantic add the function, and not a user?"""
    return str(getattr(bare(function), "__module__", "")).partition(".")[0] == "pydantic"


def is_harmless(function: Any) -> bool:
    """Does the function accept whatever the schema inside it does?"""
    qualified = str(getattr(bare(function), "__qualname__", ""))
    return name_of(function) in HARMLESS or qualified.startswith("Secret.__get_pydantic_core_schema__")


def accepted_strings(function: Any) -> Schema | None:
    """The strings that a known function accepts, as a schema of its own."""
    if isinstance(function, type) and function in _IP_CLASSES:
        return dict(_IP_CLASSES[function])
    known = _PLAIN.get(name_of(function)) if is_of_pydantic(function) else None
    return None if known is None else dict(known)


def _lengths(low: str, arguments: Mapping[str, Any]) -> Schema:
    (value,) = arguments.values()
    return {f"{low}Length": value, f"{low}Items": value, f"{low}Properties": value}


LIMITS: dict[str, Callable[[Mapping[str, Any]], Schema]] = {
    "greater_than_validator": lambda arguments: {"exclusiveMinimum": arguments["gt"]},
    "greater_than_or_equal_validator": lambda arguments: {"minimum": arguments["ge"]},
    "less_than_validator": lambda arguments: {"exclusiveMaximum": arguments["lt"]},
    "less_than_or_equal_validator": lambda arguments: {"maximum": arguments["le"]},
    "multiple_of_validator": lambda arguments: {"multipleOf": arguments["multiple_of"]},
    "min_length_validator": functools.partial(_lengths, "min"),
    "max_length_validator": functools.partial(_lengths, "max"),
    "forbid_inf_nan_check": lambda arguments: {},
}
"""What limits that stand beside a whole type say of its JSON values."""
