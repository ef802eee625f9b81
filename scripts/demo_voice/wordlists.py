"""What the assistant's phrases are filled with, in the words that are spoken."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NAMES = _words(
    "anna ben carla daniel emma frank grace henry isabel jack kate leo maria nathan olivia peter quinn rachel simon "
    "tara uma victor wendy xavier yvonne zoe adam bella carlos diana edward fiona george hannah ivan julia kevin laura "
    "martin nina oscar paula robert sarah thomas ursula vera william alice brian claire david elena felix gloria hugo "
    "irene james karen lucas megan noah oliver patricia richard susan tim valerie walter amelia charles dorothy eric "
    "mia james michael john elizabeth jennifer linda barbara jessica nancy betty margaret sandra ashley kimberly emily "
    "donna michelle carol amanda melissa deborah stephanie rebecca sharon cynthia kathleen amy angela shirley brenda"
)
SURNAMES = _words(
    "smith jones taylor brown williams wilson johnson davies robinson wright thompson evans walker white roberts green "
    "hall wood jackson clarke baker cooper morris parker miller anderson martinez garcia lopez lee nguyen patel khan "
    "schmidt rossi novak ivanov larsen murphy kelly"
)
PLACES = (*_words(
    "london paris berlin madrid rome vienna dublin oslo stockholm lisbon athens warsaw prague budapest moscow tokyo "
    "beijing seoul delhi mumbai sydney melbourne toronto montreal chicago boston seattle denver dallas houston atlanta "
    "miami phoenix portland philadelphia detroit cleveland austin nashville orlando cairo nairobi lagos istanbul dubai "
    "singapore bangkok manila lima bogota santiago amsterdam brussels zurich geneva munich hamburg edinburgh glasgow "
    "manchester liverpool bristol oxford cambridge california texas florida canada mexico brazil argentina france "
    "germany spain italy sweden norway finland poland ukraine turkey egypt kenya india china japan korea australia"
), "new york", "los angeles", "san francisco", "new zealand", "south africa", "hong kong", "las vegas")  # fmt: skip
DAYS = _words("monday tuesday wednesday thursday friday saturday sunday")
RELATIVE_DAYS = ("today", "tomorrow", "tonight", "next week", "this weekend", "on the weekend", "this evening")
DAY_PARTS = ("in the morning", "in the afternoon", "in the evening", "at night", "at noon", "at midnight")
WEATHER = _words(
    "sunny cloudy rainy windy foggy stormy snowy cold warm hot humid dry mild freezing overcast pleasant clear icy"
)
THINGS = _words(
    "milk bread eggs butter cheese coffee tea sugar flour rice pasta apples bananas oranges tomatoes potatoes onions "
    "carrots chicken fish chocolate water juice soap shampoo toothpaste batteries paper stamps flowers candles salt "
    "pepper honey yogurt lettuce cucumbers grapes strawberries lemons garlic cereal cookies napkins"
)
TASKS = (
    "call the dentist", "water the plants", "take out the trash", "pay the electric bill", "pick up the children",
    "walk the dog", "feed the cat", "send the report", "buy a birthday present", "renew the passport", "book a table",
    "check the oven", "clean the kitchen", "charge the phone", "return the library books", "order new tires",
    "write the invoice", "prepare the slides", "answer the email", "wash the car", "cancel the subscription",
    "visit the doctor", "pack the suitcase", "lock the front door", "turn off the lights", "fix the printer",
    "collect the parcel", "sign the contract", "update the calendar", "take the medicine",
)  # fmt: skip
ROOMS = (
    "kitchen", "living room", "bedroom", "bathroom", "hallway", "garage", "garden", "office", "dining room", "basement",
    "attic", "balcony",
)  # fmt: skip
DEVICES = (
    "lights", "heating", "fan", "television", "radio", "blinds", "alarm", "oven", "dishwasher", "washing machine",
    "vacuum cleaner", "thermostat", "speaker", "lamp", "door", "window", "camera", "air conditioner",
)  # fmt: skip
EVENTS = (
    "meeting", "appointment", "interview", "lunch", "dinner", "concert", "flight", "train", "lesson", "party",
    "conference", "workshop", "phone call", "presentation", "delivery", "checkup", "game", "movie", "lecture", "class",
)  # fmt: skip
MUSIC = ("jazz", "rock", "classical music", "folk songs", "the news", "a podcast", "piano music", "the blues", "opera")
TOPICS = (
    "the weather", "your order", "the schedule", "the traffic", "the results", "your account", "the delivery",
    "the reservation", "the invoice", "your message", "the password", "your question", "the project", "the budget",
    "the recipe", "the map", "the address", "your subscription", "the ticket", "the report",
)  # fmt: skip
STREETS = ("main street", "park avenue", "church road", "high street", "oak lane", "mill road", "station road",
           "garden street", "king street", "river road", "hill street", "lake drive")  # fmt: skip
CURRENCIES = ("dollars", "euros", "pounds", "cents", "percent")
UNITS = ("kilometers", "miles", "meters", "degrees", "minutes", "hours", "seconds", "kilograms", "liters", "grams",
         "pages", "people", "items", "steps", "calories", "days", "weeks", "months", "years", "rooms")  # fmt: skip
