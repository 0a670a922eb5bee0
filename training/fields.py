# ruff: noqa: E501 (a field reads better on one line)
"""The fields records are made of: the keys they go by, their schemas, their values and how texts state them.

>>> FIELDS["age"].keys
('age', 'years', 'age_of_person', 'years_old')
>>> len(FIELDS["age"].clauses) >= 30
True
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from training.values import (
    Value,
    clock,
    code,
    company,
    date,
    email,
    job,
    money,
    number,
    one_of,
    person,
    phone,
    place,
    thing,
    title,
    word,
    yes_or_no,
)


class Clauses(tuple[str, ...]):
    """Wordings of one kind; the last ``held`` of them are held out of training."""

    held: int

    def __new__(cls, trained: Sequence[str], held: Sequence[str]) -> Clauses:
        self = super().__new__(cls, (*trained, *held))
        self.held = len(held)
        return self


def read_wordings(text: str) -> dict[str, Clauses]:
    """The clauses under each ``[heading]``; those behind a line ``--`` are held out.

    >>> found = read_wordings("# note\\n[a]\\nis {v}\\n--\\n{v} it is\\n\\n[b]\\nsay {v}")
    >>> found["a"], found["a"].held, found["b"].held
    (('is {v}', '{v} it is'), 1, 0)
    """
    found: dict[str, tuple[list[str], list[str]]] = {}
    heading, held = "", False
    for line in text.splitlines():
        if line.startswith("["):
            heading, held = line[1:-1], False
            found[heading] = [], []
        elif line == "--":
            held = True
        elif line and not line.startswith("#"):
            found[heading][held].append(line)
    return {name: Clauses(*parts) for name, parts in found.items()}


WORDINGS = read_wordings((files("training") / "wordings.txt").read_text(encoding="utf-8"))
YES, NO, GENERIC = WORDINGS["paid yes"], WORDINGS["paid no"], WORDINGS["generic"]


@dataclass(frozen=True)
class Field:
    """``keys`` the names it goes by, ``held_keys`` those of the split "schemas" alone, ``schema`` its JSON Schema,
    ``make`` its value, ``notes`` descriptions, ``clauses`` how texts state it."""

    keys: tuple[str, ...]
    held_keys: tuple[str, ...]
    schema: dict[str, Any]
    make: Value
    notes: tuple[str, ...]
    clauses: Clauses


TEXT, WHOLE, NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}
FROM_ONE = {"type": "integer", "minimum": 1}
STATUS = ("open", "closed", "pending")
LEVELS = ("low", "medium", "high", "urgent")
CURRENCY = ("EUR", "USD", "GBP", "CHF")
COLORS = ("red", "blue", "green", "black", "white")

ROWS: tuple[tuple[str, str, str, dict[str, Any], Value, str], ...] = (
    ("name", "name full_name person contact customer client guest applicant passenger author customer_name guest_name booked_by", "person_name contact_name customer_name", TEXT, person,
     "who it is about|the person's full name|first and last name"),
    ("age", "age years age_of_person years_old", "age_years", {"type": "integer", "minimum": 0, "maximum": 120}, number(1, 99),
     "age in years|how old the person is"),
    ("email", "email mail email_address e_mail reply_to email_id", "contact_email mail_address", {"type": "string", "format": "email"}, email,
     "where to write to|the e-mail address"),
    ("phone", "phone telephone phone_number mobile tel cell call_back", "contact_phone telephone_number", TEXT, phone,
     "the number to call|telephone number as written"),
    ("city", "city town location place destination city_of_event", "home_town city_name", TEXT, place, "the town|where it is"),
    ("company", "company employer organization seller vendor firm supplier brand business maker", "company_name employer_name", TEXT, company,
     "the firm|name of the company"),
    ("role", "role job position job_title function works_as", "occupation profession", TEXT, job, "what the person does|the job"),
    ("date", "date day due_date when due deadline start_date order_date delivery_date departs check_in", "event_date on_date", {"type": "string", "format": "date"}, date,
     "the day|when it is due|the date"),
    ("time", "time start start_time hour starts opens departure_time meeting_time", "begin begin_time", TEXT, clock, "when it starts|time of day"),
    ("title", "title subject event summary topic task name_of_event task_title", "headline event_title", TEXT, title, "what it is about|the title"),
    ("item", "item product article name goods product_title ordered_item", "product_name item_name", TEXT, thing, "what is ordered|the thing"),
    ("quantity", "quantity count amount units qty number_of_items how_many", "number_of_units pieces", FROM_ONE, number(1, 60),
     "how many|number of pieces"),
    ("price", "price total cost amount_due sum total_amount fee fare to_pay", "total_price price_total", NUMBER, money, "what it costs|the amount to pay"),
    ("currency", "currency", "currency_code", {"enum": list(CURRENCY)}, one_of(*CURRENCY), "the money used"),
    ("code", "code order_id reference ticket number invoice_number id ref booking_code order_no case_id", "order_number reference_code", TEXT, code,
     "the reference|the order's number"),
    ("status", "status state order_status ticket_state", "current_status", {"enum": list(STATUS)}, one_of(*STATUS), "how far it is"),
    ("priority", "priority severity urgency importance ticket_priority", "priority_level", {"enum": list(LEVELS)}, one_of(*LEVELS), "how urgent it is"),
    ("guests", "guests people seats party_size persons adults guest_count attendees", "number_of_guests visitors", FROM_ONE, number(1, 20),
     "how many people come"),
    ("nights", "nights duration stay nights_booked", "number_of_nights", FROM_ONE, number(1, 21), "how long the stay is"),
    ("hotel", "hotel venue room hotel_booked lodging", "hotel_name venue_name", TEXT, word, "where it takes place|the house"),
    ("color", "color colour item_color", "colour_name", {"enum": list(COLORS)}, one_of(*COLORS), "the colour"),
    ("doctor", "doctor physician treated_by doctor_in_charge", "attending_doctor", TEXT, person, "who treats the patient"),
    ("dose", "dose dose_mg milligrams mg dose_in_mg", "dosage_mg", WHOLE, number(5, 900), "in mg|milligrams each time"),
    ("sku", "sku part_number part sku_code article_number", "stock_number", TEXT, code, "the part's number"),
    ("rating", "rating stars score star_rating", "rating_value", {"type": "integer", "minimum": 1, "maximum": 5}, number(1, 5),
     "1 to 5 stars"),
    ("paid", "paid confirmed payment_received settled", "is_paid", {"type": "boolean"}, yes_or_no, "whether it is settled"),
)  # fmt: skip

FIELDS = {
    name: Field(
        tuple(keys.split()),
        tuple(held.split()),
        schema,
        make,
        tuple(notes.split("|")),
        WORDINGS.get(name, Clauses((), ())),
    )
    for name, keys, held, schema, make, notes in ROWS
}

DOMAINS: dict[str, tuple[str, ...]] = {
    "contact": ("name", "age", "email", "phone", "city", "company", "role"),
    "order": ("code", "name", "item", "quantity", "price", "currency", "status", "color", "date"),
    "invoice": ("code", "company", "date", "price", "currency", "paid"),
    "event": ("title", "date", "time", "city", "hotel", "guests"),
    "travel": ("name", "city", "date", "time", "code", "price"),
    "hotel": ("hotel", "name", "nights", "guests", "date", "price", "paid"),
    "task": ("title", "name", "date", "priority", "status"),
    "medical": ("name", "age", "doctor", "dose", "item", "date"),
    "product": ("item", "sku", "price", "color", "rating", "currency"),
    "ticket": ("code", "title", "priority", "status", "email", "name"),
}
