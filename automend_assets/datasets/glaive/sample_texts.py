"""Words of the generated Glaive rows: parameters, subjects, sentences, replies.

What belongs here: tables of our own text, and how one argument value is drawn from them. What does not: how
they become a row (`sample`). Nothing here is copied from the real dataset.

Ground truth rests on one rule: every text is free of the error keywords and of `if` / `when` near a failure,
except the `ErrorText` tables, which declare what they contain.
`automend_assets_tests/datasets/glaive/test_sample.py` holds every table to it.
"""

# ruff: noqa: E501 -- tables of sentences

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

Make = Callable[[Random], Any]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One kind of function parameter: its JSON Schema without the description, and how a value is drawn."""

    schema: dict[str, Any]
    label: str
    make: Make


@dataclass(frozen=True, slots=True)
class Subject:
    """A thing that functions are about, with the parameters that make sense for it."""

    noun: str
    plural: str
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ErrorText:
    """A text that speaks of failure, with the error keywords it contains (of those the contract lists)."""

    text: str
    keywords: tuple[str, ...]
    conditional: bool = False


def _one_of(*values: Any) -> Make:
    return lambda rng: rng.choice(values)


def _some_of(*values: Any) -> Make:
    return lambda rng: rng.sample(values, rng.randint(1, min(4, len(values))))


def _whole(low: int, high: int) -> Make:
    return lambda rng: rng.randint(low, high)


def _decimal(low: int, high: int) -> Make:
    """Whole numbers among the decimals, as people type them: 70, 1.75."""
    return lambda rng: (
        rng.randint(low, high) if rng.random() < 0.5 else rng.randint(low * 100, high * 100) / 100
    )


def _numbers(rng: Random) -> list[float]:
    return [
        rng.randint(-20, 400) if rng.random() < 0.7 else rng.randint(0, 9999) / 10
        for _ in range(rng.randint(2, 7))
    ]


def _date(rng: Random) -> str:
    return f"20{rng.randint(18, 27)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


def _time(rng: Random) -> str:
    return f"{rng.randint(0, 23):02}:{rng.choice(('00', '15', '30', '45'))}"


def _moment(rng: Random) -> str:
    return f"{_date(rng)}T{_time(rng)}:00Z"


def _identifier(rng: Random) -> str:
    return f"{rng.choice(('AX', 'B', 'inv-', 'ord_', 'k8s/', 'T-'))}{rng.randint(100, 99999)}"


def _email(rng: Random) -> str:
    return f"{rng.choice(FIRST_NAMES).lower()}{rng.choice(('', '.k', '+todo', '_77'))}@{rng.choice(HOSTS)}"


def _phone(rng: Random) -> str:
    return f"+{rng.randint(1, 98)} {rng.randint(100, 999)} 555 {rng.randint(1000, 9999)}"


def _person(rng: Random) -> dict[str, Any]:
    return {
        "name": f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}",
        "email": _email(rng),
        "age": rng.randint(18, 90),
    }


def _address(rng: Random) -> dict[str, Any]:
    return {
        "street": f"{rng.randint(1, 220)} {rng.choice(STREETS)}",
        "city": rng.choice(CITIES),
        "location": {"lat": rng.randint(-9000, 9000) / 100, "lon": rng.randint(-18000, 18000) / 100},
    }


def _lines(rng: Random) -> list[dict[str, Any]]:
    return [
        {"item": rng.choice(ITEMS), "quantity": rng.randint(1, 12), "price": rng.randint(99, 25000) / 100}
        for _ in range(rng.randint(1, 3))
    ]


def _window(rng: Random) -> dict[str, Any]:
    return {"from": _date(rng), "to": _date(rng), "inclusive": rng.random() < 0.5}


def _matrix(rng: Random) -> list[list[int]]:
    return [[rng.randint(-9, 9) for _ in range(2)] for _ in range(rng.randint(1, 3))]


FIRST_NAMES = (
    "Ines",
    "Tomás",
    "Yuki",
    "Amara",
    "Björn",
    "Leila",
    "Siobhán",
    "Ravi",
    "Noor",
    "Dmitri",
    "Chloé",
    "Kwame",
)
LAST_NAMES = (
    "O'Neill",
    "D'Angelo",
    "Nakamura",
    "Okafor",
    "Müller",
    "Lindqvist",
    "Haddad",
    "Castillo",
    "Mbeki",
    "Novák",
)
HOSTS = ("example.com", "example.org", "mail.example.net")
CITIES = (
    "Porto",
    "Reykjavík",
    "Osaka",
    "São Paulo",
    "Nairobi",
    "Zürich",
    "Kraków",
    "Halifax",
    "Hà Nội",
    "L'Aquila",
    "Lagos",
)
STREETS = ("Harbour Road", "Rue de l'Église", "Kastanienallee", "Mill Lane", "Calle Mayor", "St. John's Wood")
ITEMS = (
    "desk lamp",
    "USB-C cable",
    "oat flour",
    "chef's knife",
    '27" monitor',
    "hiking boots",
    "green tea",
    "notebook",
)
TITLES = (
    "The Lighthouse Keeper's Map", "Crème & Cobalt", 'The "Last" Ferry', "Seven Rivers", "A Field Guide to Moss", "Łódź at Dawn",
    "Don't Wake the Fox", "Orbit {9}", "雪の音", "Nonesuch",
)  # fmt: skip
TOPICS = (
    "tidal energy", "sourdough", "chess openings", "urban beekeeping", "type systems", "glacier retreat", "jazz harmony",
    "supply chains", "origami", "volcanic soil", "public libraries", "bicycle repair", "night photography", "compost",
)  # fmt: skip

APOSTROPHE_TEXTS = (
    "Hey, let's move the stand-up to 9:30, it's easier for Zoë",
    "We're out of paper, and Tomás' printer isn't helping",
    "Nonetheless, we'd like to go ahead with the owner's plan",
)
TEXTS = (
    *APOSTROPHE_TEXTS,
    'She said "bring the blue folder" and left',
    "{greeting}, your order #{number} is on its way",
    "def area(r):\n    return {'r': r, 'area': 3.14 * r ** 2}",
    "```python\nprint({'a': [1, 2, {'b': '}'}]})\n```",
    "C:\\Users\\maria\\notes.txt",
    "C:\\Temp\\'new'\\",
    "' starts it, and it ends with the owners'",
    "the transcript began with ASSISTANT: hello",
    "naïve café – 12 € für Frau Müller",
    "今日は会議があります。",
    "👩‍🔬 the samples are in, see 'tray 4'",
    "SELECT name FROM parts WHERE label = 'O''Brien' AND size > 3;",
    '}\'} is how the old exporter ended its lines, {"sic"',
    "a\tb\tc\nd\te\tf",
    "<b>Sale</b> & <i>more</i>: 20 % off [today]",
    "Please keep the receipts of the trip in one envelope.",
    "Sphinx of black quartz, judge my vow",
    "An exceptional view of the Nullarbor plain, and of night terrors in the lab",
)


def _enum(*values: str) -> Parameter:
    return Parameter({"type": "string", "enum": list(values)}, "kind", _one_of(*values))


_STRING: dict[str, Any] = {"type": "string"}
_NUMBER: dict[str, Any] = {"type": "number"}
_INTEGER: dict[str, Any] = {"type": "integer"}
_BOOLEAN: dict[str, Any] = {"type": "boolean"}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _object(required: tuple[str, ...], **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


PARAMETERS: dict[str, Parameter] = {
    "query": Parameter(_STRING, "words to look for", _one_of(*TOPICS)),
    "title": Parameter(_STRING, "title", _one_of(*TITLES)),
    "topic": Parameter(_STRING, "topic", _one_of(*TOPICS)),
    "city": Parameter(_STRING, "city", _one_of(*CITIES)),
    "destination": Parameter(_STRING, "place to go to", _one_of(*CITIES)),
    "origin": Parameter(_STRING, "place to start from", _one_of(*CITIES)),
    "text": Parameter(_STRING, "text", _one_of(*TEXTS)),
    "message": Parameter(_STRING, "message body", _one_of(*TEXTS)),
    "notes": Parameter(_STRING, "free remarks", _one_of(*TEXTS)),
    "owner": Parameter(_STRING, "owner's name", lambda rng: f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}"),
    "recipient": Parameter({"type": "string", "format": "email"}, "recipient's address", _email),
    "phone": Parameter(_STRING, "phone number", _phone),
    "reference": Parameter(_STRING, "reference number", _identifier),
    "item": Parameter(_STRING, "item", _one_of(*ITEMS)),
    "date": Parameter({"type": "string", "format": "date"}, "day", _date),
    "time": Parameter(_STRING, "time of day", _time),
    "deadline": Parameter({"type": "string", "format": "date-time"}, "latest moment", _moment),
    "currency": Parameter(_STRING, "ISO currency code", _one_of("EUR", "USD", "JPY", "KES", "BRL", "PLN")),
    "target_currency": Parameter(_STRING, "ISO code to change into", _one_of("CHF", "GBP", "SEK", "INR", "MXN")),
    "language": Parameter(_STRING, "language", _one_of("Portuguese", "Swahili", "日本語", "Čeština", "français")),
    "amount": Parameter(_NUMBER, "amount", _decimal(1, 9000)),
    "price": Parameter(_NUMBER, "price before tax", _decimal(1, 900)),
    "rate": Parameter(_NUMBER, "rate in percent", _decimal(0, 30)),
    "weight": Parameter(_NUMBER, "weight in kilograms", _decimal(1, 180)),
    "height": Parameter(_NUMBER, "height in metres", _decimal(1, 3)),
    "distance": Parameter(_NUMBER, "distance in kilometres", _decimal(1, 1200)),
    "radius": Parameter(_NUMBER, "radius", _decimal(1, 90)),
    "temperature": Parameter(_NUMBER, "temperature in degrees", _decimal(-30, 45)),
    "threshold": Parameter({"type": "number", "minimum": 0, "maximum": 1}, "threshold", lambda rng: rng.randint(1, 99) / 100),
    "quantity": Parameter(_INTEGER, "how many", _whole(1, 60)),
    "limit": Parameter({"type": "integer", "minimum": 1}, "most results to give back", _whole(1, 50)),
    "year": Parameter(_INTEGER, "year", _whole(1950, 2026)),
    "guests": Parameter(_INTEGER, "number of guests", _whole(1, 14)),
    "duration": Parameter(_INTEGER, "length in minutes", _whole(5, 240)),
    "replicas": Parameter(_INTEGER, "number of copies to run", _whole(1, 12)),
    "urgent": Parameter(_BOOLEAN, "whether it can't wait", _one_of(True, False)),
    "dry_run": Parameter(_BOOLEAN, "whether to only show what would be done", _one_of(True, False)),
    "notify": Parameter({"type": "boolean", "default": False}, "whether to tell the owner", _one_of(True, False)),
    "priority": _enum("low", "normal", "high"),
    "unit": _enum("metric", "imperial", "kelvin"),
    "sort": _enum("newest", "price", "rating"),
    "mode": _enum("car", "train", "bike", "on foot"),
    "tags": Parameter(_array(_STRING), "labels", _some_of(*TOPICS)),
    "ingredients": Parameter(_array(_STRING), "ingredients at hand", _some_of("leeks", "crème fraîche", "chef's stock", "rice", "dill")),
    "attendees": Parameter(_array({"type": "string", "format": "email"}), "who is invited", lambda rng: [_email(rng) for _ in range(2)]),
    "numbers": Parameter(_array(_NUMBER), "figures", _numbers),
    "matrix": Parameter(_array(_array(_INTEGER)), "rows of whole numbers", _matrix),
    "person": Parameter(
        _object(("name", "email"), name=_STRING, email={"type": "string", "format": "email"}, age=_INTEGER), "person", _person
    ),
    "address": Parameter(
        _object(("street", "city"), street=_STRING, city=_STRING, location=_object(("lat", "lon"), lat=_NUMBER, lon=_NUMBER)),
        "address",
        _address,
    ),
    "lines": Parameter(
        _array(_object(("item", "quantity"), item=_STRING, quantity=_INTEGER, price=_NUMBER)), "lines of the order", _lines
    ),
    "window": Parameter(
        _object(("from", "to"), **{"from": _STRING, "to": _STRING, "inclusive": _BOOLEAN}), "period", _window
    ),
}  # fmt: skip

SUBJECTS: tuple[Subject, ...] = (
    Subject("recipe", "recipes", ("query", "ingredients", "limit", "language", "duration", "sort", "tags")),
    Subject("train", "trains", ("origin", "destination", "date", "time", "guests", "sort")),
    Subject(
        "invoice",
        "invoices",
        ("reference", "amount", "currency", "deadline", "lines", "address", "notes", "urgent"),
    ),
    Subject(
        "meeting",
        "meetings",
        ("title", "date", "time", "duration", "attendees", "notes", "priority", "notify"),
    ),
    Subject("email", "emails", ("recipient", "title", "message", "urgent", "tags")),
    Subject("text_message", "text_messages", ("phone", "message", "urgent", "deadline")),
    Subject("playlist", "playlists", ("title", "topic", "tags", "limit", "language")),
    Subject("book", "books", ("title", "query", "owner", "year", "language", "limit", "sort")),
    Subject("film", "films", ("title", "topic", "year", "language", "limit", "sort")),
    Subject("exchange_rate", "exchange_rates", ("currency", "target_currency", "amount", "date")),
    Subject("loan", "loans", ("amount", "rate", "duration", "currency", "person")),
    Subject("tax", "taxes", ("amount", "rate", "year", "currency", "city")),
    Subject("discount", "discounts", ("price", "rate", "quantity", "currency")),
    Subject("body_mass", "body_masses", ("weight", "height", "unit")),
    Subject("circle", "circles", ("radius", "unit")),
    Subject("average", "averages", ("numbers", "threshold")),
    Subject("matrix_product", "matrix_products", ("matrix", "numbers")),
    Subject("route", "routes", ("origin", "destination", "mode", "distance", "window")),
    Subject("parcel", "parcels", ("reference", "address", "weight", "urgent", "lines")),
    Subject("order", "orders", ("reference", "lines", "address", "person", "currency", "notes", "notify")),
    Subject("customer", "customers", ("person", "address", "phone", "tags", "notes")),
    Subject("appointment", "appointments", ("person", "date", "time", "duration", "notes", "urgent")),
    Subject("forecast", "forecasts", ("city", "date", "unit", "limit")),
    Subject("thermostat", "thermostats", ("temperature", "unit", "window", "mode")),
    Subject("sentiment", "sentiments", ("text", "language", "threshold")),
    Subject("translation", "translations", ("text", "language", "notes")),
    Subject("summary", "summaries", ("text", "limit", "language")),
    Subject("deployment", "deployments", ("title", "replicas", "dry_run", "tags", "window", "notify")),
    Subject("alert", "alerts", ("reference", "threshold", "priority", "message", "attendees")),
    Subject("backup", "backups", ("reference", "window", "dry_run", "deadline")),
    Subject("ticket", "tickets", ("title", "priority", "owner", "notes", "tags", "deadline")),
    Subject("task", "tasks", ("title", "deadline", "priority", "owner", "tags", "notify")),
    Subject("table", "tables", ("city", "date", "time", "guests", "notes")),
    Subject("hotel_room", "hotel_rooms", ("city", "window", "guests", "price", "sort")),
    Subject("stock_item", "stock_items", ("item", "quantity", "price", "tags")),
    Subject("plant", "plants", ("query", "city", "temperature", "height")),
    Subject("workout", "workouts", ("topic", "duration", "weight", "distance", "priority")),
    Subject("quote", "quotes", ("topic", "owner", "language")),
    Subject("random_number", "random_numbers", ("limit", "numbers", "threshold")),
    Subject("password", "passwords", ("limit", "urgent", "tags")),
)

# verb of the name, verb of the description
VERBS: tuple[tuple[str, str], ...] = (
    ("get", "Get"), ("search", "Search for"), ("create", "Create"), ("update", "Change"), ("calculate", "Work out"),
    ("estimate", "Estimate"), ("compare", "Compare"), ("schedule", "Schedule"), ("analyze", "Analyse"), ("export", "Export"),
    ("cancel", "Cancel"), ("track", "Track"), ("generate", "Generate"), ("check", "Check"),
)  # fmt: skip
NAME_ENDINGS = ("", "", "", "", "_details", "_by_id", "_v2", "_list", "_for_team", "_now")
FUNCTION_DESCRIPTIONS = (
    "{verb} the {noun}",
    "{verb} the {noun} and report what was done",
    "{verb} {plural} that match what is asked",
    "{verb} the {noun} of a person or a team",
    "{verb} one {noun}; the caller's time zone is used",
)
PARAMETER_DESCRIPTIONS = (
    "The {label}",
    "The {label} of the {noun}",
    "{label} (as the user gave it)",
    "What {label} to use for the {noun}",
    'The {label}, e.g. as in "my {noun}"',
)

GREETINGS = ("Hi, ", "Hello! ", "Hey there, ", "", "", "Good morning. ", "Hi – ")
REQUESTS = (
    "could you {verb} the {noun} for me? It's about {value}.",
    "I'd like you to {verb} the {noun}. Here's what I have: {value}.",
    "please {verb} the {noun} with {value}.",
    "I need help with the {noun}: {value}.",
    "my colleague's asking for the {noun}, can we do it with {value}?",
    "what would it take to {verb} the {noun} for {value}?",
)
FOLLOW_UPS = (
    "Great. And now please do the same with {value}.",
    "That's useful! What about {value}?",
    "OK, let's try {value} as well.",
    "One more, for {value}.",
)
OPENERS = (
    "Hi, I've got a question about the {noun}.",
    "Can you help me with the {noun} today?",
    "I'm thinking about the {noun}, what do you need from me?",
)
CLARIFICATIONS = (
    "Of course! Tell me a little more about the {noun}, please: the details I need are {wanted}.",
    "Gladly. Which {wanted} should I use for the {noun}?",
    "I can do that. To begin with the {noun}, I'd need {wanted} from you.",
)
OUT_OF_SCOPE = (
    ("Could you water the plants on my balcony?", "water plants"),
    ("Please drive my sister to the airport at six.", "drive anyone to the airport"),
    ("I'd like you to paint my fence green.", "paint a fence"),
    ("Can you feed the cat while I'm in {city}?", "feed a cat"),
    ("Please sign the contract for me.", "sign contracts"),
)
REFUSALS = (
    "I'm sorry, but I can't {deed}: what I have here only lets me {verb} the {noun}. Shall we do that?",
    "That is beyond me, since I've no way to {deed}. I could {verb} the {noun} for you, though.",
)
ANSWERS = (
    "Done! For the {noun} I got {value}.",
    "Here's the result for your {noun}: {value}. Anything else you'd like to see?",
    "The {noun} is ready. It says {value}, nonetheless you may want to look at it twice.",
    "I've looked at the {noun}; the answer is {value}.",
    "Your {noun} came back with {value}:\n\n- it is complete\n- it is {{current}}",
)
THANKS = (
    "Thanks a lot, that's all for today.",
    "Lovely, I owe you one!",
    "Wonderful – I'll take it from here.",
    "Cheers, that helps.",
)
FAREWELLS = (
    "You're welcome! I'm here for the next {noun}, too.",
    "Glad I could help with the {noun}. Have a good day!",
    "Any time. Good luck with the {noun}!",
)
BEFORE_CALL = (
    "Of course, let me see to the {noun}.",
    "Sure, one moment please.",
    "I'll look that up for you:",
    "Right away!",
)

# What a function says that could not do its work; with the error keywords in it.
ERROR_RESPONSES: tuple[tuple[dict[str, Any] | str, tuple[str, ...]], ...] = (
    ({"error": "The reference is unknown"}, ("error",)),
    ({"error": {"code": 404, "message": "record not found"}}, ("error", "not found")),
    ({"status": "error", "message": "Invalid value for the given field"}, ("error", "invalid")),
    ({"status": "failed", "reason": "the partner's service is closed"}, ("failed",)),
    ({"success": False, "message": "The quota of this month is used up"}, ()),
    ({"error": "upstream raised an Exception", "code": 500}, ("error", "exception")),
    ("Error: the service did not answer in time", ("error",)),
)
# What looks like one at first sight, and is not.
QUIET_RESPONSES: tuple[tuple[dict[str, Any] | str, tuple[str, ...]], ...] = (
    ({"error": None, "result": "complete"}, ("error", "null")),
    ({"status": "success", "error_rate": 0.02, "failed_logins": 0}, ()),
    ({"success": True, "message": "exceptional, nonetheless final"}, ()),
    ("42 pieces, nonetheless {sold out}", ()),
)
ERROR_REPLIES = (
    ErrorText("I'm sorry, the {noun} could not be handled this time. Shall I try another value?", ()),
    ErrorText("Unfortunately the service gave an error for this {noun}.", ("error",)),
    ErrorText(
        "It seems that what we sent for the {noun} is invalid, please have another look at it.", ("invalid",)
    ),
    ErrorText("There is no luck today: the {noun} was not found.", ("not found",)),
)

# Placed as sentences of their own in an answer. The keyword stays more than 30 characters away from both ends
# unless the text is conditional, so that no neighbour's `if` or `when` changes what is true of the row.
ERROR_SENTENCES = (
    ErrorText(
        "In a long log of many thousand lines one error among them is easily overlooked by tired eyes.",
        ("error",),
    ),
    ErrorText(
        "A form that marks every second field as invalid teaches its readers to ignore the colour red.",
        ("invalid",),
    ),
    ErrorText(
        "Of the first three prototypes two had Failed before anybody wrote down what they were for.",
        ("failed",),
    ),
    ErrorText(
        "A column that is allowed to hold NULL needs a reason that is written down beside its name.",
        ("null",),
    ),
    ErrorText(
        "Of all the plans that were drawn up in that year, none was carried out as it was meant.", ("none",)
    ),
    ErrorText(
        "A program that never shows its last exception to anyone is a program that nobody can mend.",
        ("exception",),
    ),
    ErrorText(
        "The first thing that a good report contains is the full traceback, from the outermost call on.",
        ("traceback",),
    ),
    ErrorText(
        "In the language of the browser an undefined name and an empty one are quite different things.",
        ("undefined",),
    ),
    ErrorText(
        "The page that says that a document was Not Found should also say where to look for it next.",
        ("not found",),
    ),
    ErrorText(
        "As a rule of thumb: if the upload fails, wait a little longer each time before the next one.",
        (),
        True,
    ),
    ErrorText(
        "Write down what to do when an error comes up at night, and who is to be called about it.",
        ("error",),
        True,
    ),
    ErrorText(
        "Ask the clerk for a new form if it is invalid, since corrections by hand are not accepted.",
        ("invalid",),
        True,
    ),
)

QUESTIONS = (
    "What should a beginner know about {topic}?",
    "How would you explain {topic} to a ten-year-old?",
    "How has {topic} changed over the last fifty years?",
    "I'm writing an essay about {topic}. What are its main questions?",
    'Give me a plan for learning {topic} in six weeks, with "small" steps.',
    "What's the connection between {topic} and {other}?",
    "Here is my outline on {topic}:\n1. origin\n2. practice\n3. outlook\nWhat's missing in it?",
    'Write a small program that keeps track of {topic}. Here\'s a record: {{"topic": "{topic}", "done": [1, 2]}}',
)
SENTENCES = (
    "People who come to {topic} from {other} are often surprised by how much patience it asks for.",
    "The first rule of {topic} is to look twice and to write down what you saw.",
    'There\'s an old saying about {topic}: "measure on Monday, cut on Tuesday".',
    "Most of what is known about {topic} was learned by amateurs who kept careful diaries.",
    "Nonetheless, {topic} isn't a matter of talent alone; it's a matter of weeks and months.",
    "A notebook, a ruler and a quiet hour are enough to begin with {topic}.",
    "The costs of {topic} are small at first, and they grow with the ambitions of those who practise it.",
    "In the north of the country {topic} is taught at school, alongside {other}.",
    "One can't speak of {topic} without a word on {other}, because both grew up in the same towns.",
    "The tools for {topic} haven't changed much: they've become lighter, cheaper and a little louder.",
    "Three things matter in {topic}: a steady rhythm, good light, and company.",
    "What looks like luck in {topic} is mostly preparation – ça ne s'improvise pas.",
    "The second habit is to stop early: if the plan no longer fits, change the plan and not the purpose of it.",
    "Those who teach {topic} like to begin with the exceptional cases, since they're remembered best.",
    "The museum in Kraków keeps a fine collection on {topic}, 12 € at the door and free on Sundays.",
    "Set a budget for {topic} before the first week is over, and keep 10 % of it aside.",
    "It helps to explain {topic} to a friend, for then the gaps in one's own view become visible.",
    "In modern times {topic} has moved to the web, where {{groups}} of all sizes exchange their notes.",
    "A good year for {topic} tends to be a poor one for {other}, and nobody has shown why.",
    "The vocabulary of {topic} is borrowed from sailors' songs, kitchen Latin and 漢字.",
    "By the end of the third week you'll know what you like about {topic}, and what you'd rather leave to others.",
    "The best reason for {topic} is that it makes you look at ordinary things with fresh eyes.",
    "Towns that invested in {topic} saw more visitors, fuller cafés and, oddly, quieter streets.",
    "Its critics say that {topic} takes too much time; its friends say that this is the point of it.",
)
HEADINGS = (
    "Origins",
    "Practice",
    "Tools & materials",
    "People",
    "Costs",
    "Outlook",
    "Daily routine",
    "Common questions",
)
CODE_BLOCKS = (
    "```python\nnotes = {{\"{topic}\": [1, 2, {{'next': '}}'}}]}}\nfor key, value in notes.items():\n    print(f\"{{key}}: {{value}}\")\n```",
    "```js\nconst plan = {{ name: '{topic}', steps: [\"read\", 'draw', `don't rush`] }};\nconsole.log(JSON.stringify(plan));\n```",
    "```sql\nSELECT week, COUNT(*) AS entries\nFROM diary\nWHERE subject = '{topic}'\nGROUP BY week;\n```",
    '```yaml\nuser: 1000\ntopic: "{topic}"\nsteps: [{{read: 1}}, {{draw: 2}}]\n```',
)
LAST_WORDS = (
    "In short, {topic} rewards those who stay with it.",
    "Taken together, that's what {topic} is about.",
    "Start with the first step, and let {topic} do the rest.",
)
