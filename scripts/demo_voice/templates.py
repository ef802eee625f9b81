"""Assistant phrases and questions, drawn at random from templates."""

import random
import re
from collections.abc import Callable, Mapping, Sequence

from demo_voice import numbers, wordlists
from orpheus_core.numerals import cardinal, ordinal

STATEMENTS = (
    "it is {clock} in {place}.", "the time is {clock}.", "it is {clock} on {day}.", "today is {date}.",
    "your {event} with {name} is at {clock} {when}.", "i have set an alarm for {clock}.",
    "i set a timer for {count} minutes.", "the timer has {count} minutes left.",
    "i will remind you to {task} at {clock}.", "please remind me to {task} on {day}.", "don't forget to {task} {when}.",
    "i added {thing} and {thing} to your shopping list.", "your list has {thing}, {thing}, and {thing}.",
    "the weather in {place} is {weather}, with a high of {count} degrees.",
    "tomorrow will be {weather} and {weather} in {place}.", "it will be {weather} {when}, around {count} degrees.",
    "there is a {count} percent chance of rain {when}.", "the {device} in the {room} is now on.",
    "i turned off the {device} in the {room}.", "the {room} is at {count} degrees.", "playing {music} in the {room}.",
    "the total is {money}.", "your balance is {money}.", "that will cost {money}, including tax.",
    "the price went up by {count} percent to {money}.", "the next train to {place} leaves at {clock}.",
    "your flight to {place} departs from gate {small} at {clock}.", "the drive to {place} takes {small} hours.",
    "turn left on {street}, then go straight for {number} meters.", "in {number} feet, turn right onto {street}.",
    "you have {small} new messages from {name}.", "{name} {surname} called you at {clock}.",
    "i sent your message to {name}.", "calling {name} {surname} now.", "the phone number is {digits}.",
    "your code is {digits}.", "the answer is {number}.", "{number} plus {number} is {number}.",
    "{decimal} {unit} is about {number} {unit}.", "the distance to {place} is {number} {unit}.",
    "your {event} on {date} has been moved to {clock}.", "the {event} starts {daypart}, at {clock}.",
    "{name} was born on {date}.", "the bridge was built in {year}.", "it happened in {year}, not in {year}.",
    "i'm sorry, i didn't understand that.", "i'm sorry, {name}, i can't find {topic}.",
    "okay, here is what i found about {topic}.", "sure, i can help you with {topic}.",
    "thank you, {name}. have a nice day!", "good morning, {name}! it is {weather} outside.",
    "welcome back, {name}. you have {small} reminders {when}.", "you're welcome.", "happy birthday, {name}!",
    "your order of {small} {thing} will arrive on {day}.", "the package from {place} arrived at {clock}.",
    "please wait a moment while i check {topic}.", "let me look that up for you.", "one moment, please.",
    "the meeting room on floor {small} is free at {clock}.", "the store on {street} closes at {clock}.",
    "we are open from {clock} to {clock}.", "the {event} in {place} is on {date}.",
    "i booked a table for {small} at {clock}.", "your reservation is under {name} {surname}.",
    "the letters are {acronym}.", "the {acronym} office is on {street}.", "your score is {number} out of {number}.",
    "the recipe needs {count} grams of {thing} and {small} {thing}.", "mix the {thing} with the {thing}, then wait.",
    "please speak after the tone.", "press {small} to continue, or {small} to go back.",
    "{name} likes {thing}, but {name} prefers {thing}.", "the temperature outside is minus {small} degrees.",
    "i could not reach {name}, so i left a message.", "the {device} needs a new battery.",
    "{day} is the {ordinal} day of the {event}.", "take the {ordinal} exit toward {place}.",
    "my name is {name}, and i live in {place}.", "{name} and {name} went to {place} {when}.",
)  # fmt: skip

QUESTIONS = (
    "what time is it in {place}?", "what is the weather like in {place} {when}?", "how far is it to {place}?",
    "how much is {money} in euros?", "when does the next train to {place} leave?", "where is the nearest {event}?",
    "would you like me to {task}?", "should i turn on the {device} in the {room}?", "did you {task} {when}?",
    "do you want to hear {music}?", "which {event} do you mean, the one at {clock} or the one at {clock}?",
    "who is {name} {surname}?", "can you tell me about {topic}?", "what can i do for you, {name}?",
    "is it {weather} in {place}?", "will it be {weather} {when}?", "how many {unit} are there in {number} {unit}?",
    "what is {number} times {number}?", "what is {number} plus {number}?", "how do i get to {street}?",
    "why is the {device} still on?", "could you please {task}?", "have you seen {name} {when}?",
    "are you coming to the {event} on {day}?", "what did {name} say about {topic}?", "when is the {event} with {name}?",
    "how long does it take to {task}?", "do we need more {thing} or {thing}?", "where did you put the {thing}?",
    "can i call you back at {clock}?", "is {clock} a good time for the {event}?", "what is your phone number?",
    "how old is {name}?", "were you born in {year}?", "what happened in {year}?", "does {name} live in {place}?",
    "is there anything else that i can do for you?", "may i ask who is calling, please?",
    "shall we meet at {clock} on {day}?", "who wants {thing} with {thing}?", "how are you {when}, {name}?",
    "did {name} arrive in {place} on {date}?", "which is better, {thing} or {thing}?", "are you sure about {topic}?",
)  # fmt: skip

_FILLERS: Mapping[str, Callable[[random.Random], str]] = {
    "clock": numbers.clock, "date": numbers.date, "year": numbers.some_year, "money": numbers.money,
    "number": numbers.number, "decimal": numbers.decimal, "digits": numbers.digits, "acronym": numbers.acronym,
    "count": lambda rng: cardinal(rng.randint(1, 99)),
    "small": lambda rng: cardinal(rng.randint(2, 12)),
    "ordinal": lambda rng: ordinal(rng.randint(1, 31)),
}  # fmt: skip
_LISTS: Mapping[str, Sequence[str]] = {
    "place": wordlists.PLACES, "name": wordlists.NAMES, "surname": wordlists.SURNAMES, "day": wordlists.DAYS,
    "when": wordlists.RELATIVE_DAYS, "daypart": wordlists.DAY_PARTS, "weather": wordlists.WEATHER,
    "thing": wordlists.THINGS, "task": wordlists.TASKS, "room": wordlists.ROOMS, "device": wordlists.DEVICES,
    "event": wordlists.EVENTS, "music": wordlists.MUSIC, "topic": wordlists.TOPICS, "street": wordlists.STREETS,
    "unit": wordlists.UNITS,
}  # fmt: skip

_FIELD = re.compile(r"\{(\w+)\}")
PAIR_SHARE = 0.15
"""Two phrases as one: the model meets longer texts and pauses."""


def phrases(templates: Sequence[str], count: int, seed: int) -> list[str]:
    """`count` different phrases."""
    rng = random.Random(seed)  # noqa: S311  (no secret)
    found: dict[str, None] = {}
    while len(found) < count:
        phrase = _phrase(templates, rng)
        if rng.random() < PAIR_SHARE:
            phrase = f"{phrase} {_phrase(templates, rng)}"
        found[phrase] = None
    return list(found)


def _phrase(templates: Sequence[str], rng: random.Random) -> str:
    return _FIELD.sub(lambda field: _filler(field.group(1), rng), rng.choice(templates))


def _filler(name: str, rng: random.Random) -> str:
    if name in _FILLERS:
        return _FILLERS[name](rng)
    return rng.choice(_LISTS[name])
