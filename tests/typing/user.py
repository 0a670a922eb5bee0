"""A user's file under strict checking; checked, never run."""

import asyncio
from typing import assert_type

from pydantic import BaseModel

import structdiff


class Person(BaseModel):
    name: str


model = structdiff.load()
person = model("Ann", Person)
assert_type(person, Person)
results = model.batch(["a"], Person)
assert_type(results[0].value, Person)
results.to_arrow()
results[0].save("a.json")
examples = [("Bo is here.", Person(name="Bo"))]
assert_type(model("Ann", Person, examples=examples, instructions="Be brief."), Person)


async def main() -> None:
    assert_type((await model.agenerate("Ann", Person)).value, Person)
    async for event in model.astream("Ann", Person):
        print(event)


asyncio.run(main())
