"""The fields records are made of: the keys they go by, their schemas, their values and how texts state them.

>>> FIELDS["age"].keys
('age', 'years')
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from training.values import (
    Value,
    clock,
    code,
    company,
    date,
    email,
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


@dataclass(frozen=True)
class Field:
    """``keys`` the names it goes by, ``schema`` its JSON Schema, ``make`` its value, ``clauses`` how texts state it."""

    keys: tuple[str, ...]
    schema: dict[str, Any]
    make: Value
    clauses: tuple[str, ...]


def field(keys: str, schema: dict[str, Any], make: Value, clauses: str) -> Field:
    return Field(tuple(keys.split()), schema, make, tuple(c.strip() for c in clauses.split("|")))


TEXT, WHOLE, NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}
STATUS = ("open", "closed", "pending")
LEVELS = ("low", "medium", "high", "urgent")
CURRENCY = ("EUR", "USD", "GBP", "CHF")

FIELDS: dict[str, Field] = {
    "name": field("name full_name person contact", TEXT, person,
        "{v} wrote to us|this is {v}|my name is {v}|{v} is the contact|please ask for {v}|I am {v}|signed, {v}|"
        "contact: {v}|"
        "name: {v}|from {v}|met {v} today|you can reach {v}|{v} here|spoke with {v}|the person is called {v}|"
        "{v} is writing|it concerns {v}|for {v}|the customer is {v}|regards, {v}|this is {v} speaking|"
        "hello from {v}|booked by {v}"),
    "age": field("age years", {"type": "integer", "minimum": 0, "maximum": 120}, number(1, 99),
        "aged {v}|{v} years old|age {v}|age: {v}|turned {v}|is {v} years of age|who is {v}|just became {v}"),
    "email": field("email mail email_address", {"type": "string", "format": "email"}, email,
        "email {v}|write to {v}|mail: {v}|reach me at {v}|the address is {v}|e-mail {v}|send it to {v}|"
        "mail goes to {v}"),
    "phone": field("phone telephone phone_number mobile", TEXT, phone,
        "phone {v}|call {v}|tel {v}|phone: {v}|the number is {v}|ring me on {v}|mobile {v}|dial {v}"),
    "city": field("city town location place", TEXT, place,
        "lives in {v}|in {v}|based in {v}|city: {v}|located in {v}|from the town of {v}|it takes place in {v}|"
        "near {v}"),
    "company": field("company employer organization seller vendor", TEXT, company,
        "works for {v}|at {v}|company: {v}|from {v}|employed by {v}|on behalf of {v}|the firm is {v}|{v} sent it"),
    "role": field("role job position job_title", TEXT, thing,
        "works as a {v}|job: {v}|position {v}|is a {v} there|hired as {v}|role: {v}|serves as {v}|doing {v} work"),
    "date": field("date day due_date when", {"type": "string", "format": "date"}, date,
        "on {v}|date: {v}|dated {v}|due {v}|the day is {v}|by {v}|scheduled for {v}|it happens {v}"),
    "time": field("time start start_time hour", TEXT, clock,
        "at {v}|starts at {v}|time: {v}|from {v} on|beginning {v}|doors open {v}|at {v} sharp|be there at {v}"),
    "title": field("title subject event summary", TEXT, title,
        "about {v}|title: {v}|subject: {v}|called {v}|the topic is {v}|regarding {v}|it is named {v}|re: {v}"),
    "item": field("item product article name", TEXT, thing,
        "product: {v}|the {v}|one {v} please|item {v}|ordered the {v}|bought a {v}|article {v}|about the {v}"),
    "quantity": field("quantity count amount units", {"type": "integer", "minimum": 1}, number(1, 60),
        "{v} pieces|quantity {v}|{v} units|amount: {v}|{v} of them|count {v}|x{v}|we need {v}"),
    "price": field("price total cost amount_due", NUMBER, money,
        "for {v}|price {v}|total {v}|costs {v}|total: {v}|amount due {v}|priced at {v}|we paid {v}"),
    "currency": field("currency", {"enum": list(CURRENCY)}, one_of(*CURRENCY),
        "paid in {v}|currency {v}|in {v}|currency: {v}|all prices in {v}|settled in {v}|{v} only|charged in {v}"),
    "code": field("code order_id reference ticket number invoice_number", TEXT, code,
        "order {v}|reference {v}|no. {v}|code {v}|ticket {v}|ref: {v}|number {v}|see {v}"),
    "status": field("status state", {"enum": list(STATUS)}, one_of(*STATUS),
        "it is {v}|status {v}|currently {v}|status: {v}|marked {v}|still {v}|the case is {v}|now {v}"),
    "priority": field("priority severity urgency", {"enum": list(LEVELS)}, one_of(*LEVELS),
        "{v} priority|priority {v}|severity: {v}|this is {v}|urgency {v}|rated {v}|marked as {v}|priority: {v}"),
    "guests": field("guests people seats party_size", {"type": "integer", "minimum": 1}, number(1, 20),
        "for {v} people|{v} guests|party of {v}|{v} seats|we are {v}|{v} persons|a table for {v}|{v} of us"),
    "nights": field("nights duration", {"type": "integer", "minimum": 1}, number(1, 21),
        "{v} nights|staying {v} nights|for {v} nights|nights: {v}|a stay of {v} nights|we stay {v} nights|"
        "{v} night stay|booked {v} nights"),
    "hotel": field("hotel venue room", TEXT, word,
        "hotel {v}|at the {v}|venue: {v}|in hall {v}|the {v} hotel|room {v}|we meet at {v}|held at {v}"),
    "color": field("color colour", {"enum": ["red", "blue", "green", "black", "white"]}, one_of("red",
        "blue", "green", "black", "white"),
        "in {v}|colour {v}|the {v} one|color: {v}|painted {v}|{v} please|a {v} version|{v} in colour"),
    "doctor": field("doctor physician", TEXT, person,
        "seen by {v}|doctor: {v}|treated by {v}|with Dr {v}|the physician is {v}|referred by {v}|Dr {v} attends|"
        "checked by {v}"),
    "dose": field("dose dose_mg milligrams", WHOLE, number(5, 900),
        "{v} mg|dose {v} mg|takes {v} mg|dose: {v}|{v} milligrams|a dose of {v}|prescribed {v} mg|{v} mg daily"),
    "sku": field("sku part_number", TEXT, code,
        "sku {v}|part {v}|part number {v}|sku: {v}|catalogue {v}|listed as {v}|stock no {v}|as {v}"),
    "rating": field("rating stars score", {"type": "integer", "minimum": 1, "maximum": 5}, number(1, 5),
        "{v} stars|rating {v}|rated {v} of 5|score: {v}|gave it {v}|{v} out of 5|I give {v}|stars: {v}"),
    "paid": field("paid confirmed", {"type": "boolean"}, yes_or_no, ""),
}  # fmt: skip
YES = ("already paid", "it is paid", "confirmed", "paid: yes", "this is confirmed", "yes, confirmed")
NO = ("not paid yet", "unpaid", "not confirmed", "paid: no", "no confirmation so far", "not yet confirmed")

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
