"""Prompts about what the model knows: facts, opposites, opinions, languages and truth."""

from circuitcheck import PromptPairs, contrast

# What a country has: two relations and their objects.
OBJECTS = {
    "France": (" Paris", " French"),
    "Italy": (" Rome", " Italian"),
    "Japan": (" Tokyo", " Japanese"),
    "Germany": (" Berlin", " German"),
    "Spain": (" Madrid", " Spanish"),
    "Russia": (" Moscow", " Russian"),
    "China": (" Beijing", " Chinese"),
    "Greece": (" Athens", " Greek"),
}
FACTS = PromptPairs(
    "The main language of Portugal is Portuguese. The capital city of Portugal is Lisbon. The {relation} of {country} is",
    relation=["main language", "capital city"],
    country=list(OBJECTS),
    variables={"object": lambda relation, country: OBJECTS[country][relation == "main language"]},
    answer="{object}",
    foil=lambda relation, country: OBJECTS[country][relation == "capital city"],
)

# The same words under two tasks, which only the examples tell apart.
OPPOSITE = {
    "small": " large",
    "cold": " hot",
    "poor": " rich",
    "old": " young",
    "late": " early",
    "dark": " light",
    "short": " long",
    "weak": " strong",
}
SHOWN = {
    "opposite": ["good: bad, up: down, left: right,", "in: out, first: last, white: black,"],
    "same": ["good: good, up: up, left: left,", "in: in, first: first, white: white,"],
}
OPPOSITES = PromptPairs(
    "{shots} {word}:",
    shots=contrast.pairs(list(zip(SHOWN["opposite"], SHOWN["same"], strict=True))),
    word=list(OPPOSITE),
    answer=lambda clean: OPPOSITE[clean["word"]],
    foil=" {word}",
)
TASKS = PromptPairs(
    "{shots} {word}:",
    shots=[*SHOWN["opposite"], *SHOWN["same"]],
    word=list(OPPOSITE),
    variables={"task": lambda shots: "opposite" if shots in SHOWN["opposite"] else "same"},
    answer=lambda task, word: OPPOSITE[word] if task == "opposite" else f" {word}",
    foil=lambda task, word: f" {word}" if task == "opposite" else OPPOSITE[word],
)

# Opinions of films, which are said at an adjective and asked for later.
OPINIONS = PromptPairs(
    "I thought the {film} was {adjective}, and told my {friend} about it. In short, the {film} was",
    film=["movie", "play", "show"],
    adjective=contrast(
        clean=["wonderful", "excellent", "brilliant", "amazing"], corrupt=["terrible", "horrible", "awful", "boring"]
    ),
    friend=["brother", "sister"],
    answer=lambda clean: [" good", " great", " wonderful", " excellent", " amazing", " brilliant"],
    foil=lambda clean: [" bad", " terrible", " horrible", " awful", " boring", " poor"],
)

# The same beginnings in French and English, each before an article.
BEGINNINGS = PromptPairs(
    "{text}",
    text=contrast.pairs(
        [
            ("Hier, nous avons vu", "Yesterday, we saw"),
            ("Il a mangé", "He has eaten"),
            ("Elle ouvre", "She opens"),
            ("Le garçon regarde", "The boy watches"),
            ("Dans la rue, j'ai trouvé", "In the street, I found"),
            ("Mon père lit", "My father reads"),
            ("Les enfants mangent", "The children eat"),
            ("Pendant l'été, nous visitons", "During the summer, we visit"),
            ("La femme porte", "The woman carries"),
            ("Ils ont acheté", "They have bought"),
            ("Le chien mange", "The dog eats"),
            ("Nous avons perdu", "We have lost"),
            ("Tu as fermé", "You have closed"),
            ("Le roi aime", "The king loves"),
            ("Ma sœur chante", "My sister sings"),
            ("Le soleil chauffe", "The sun warms"),
            ("On entend", "One hears"),
            ("Le professeur explique", "The teacher explains"),
            ("Le train traverse", "The train crosses"),
            ("Vous connaissez", "You know"),
            ("Elle a écrit", "She has written"),
            ("Le médecin a guéri", "The doctor has cured"),
            ("Les voisins ont vendu", "The neighbours have sold"),
            ("Le vent pousse", "The wind pushes"),
            ("J'ai ouvert", "I have opened"),
            ("Le livre raconte", "The book tells"),
            ("Nous attendons", "We await"),
            ("L'oiseau quitte", "The bird leaves"),
            ("Le marchand vend", "The merchant sells"),
            ("Paul dessine", "Paul draws"),
            ("Marie prépare", "Marie prepares"),
            ("Mon ami cherche", "My friend seeks"),
        ]
    ),
    answer=lambda clean: [" le", " la", " les", " un", " une"],
    foil=lambda clean: [" the", " a", " an"],
)

# True statements about capitals and false ones: for each country its own capital and that of the next in the list.
CAPITAL_OF = {
    "France": "Paris",
    "Italy": "Rome",
    "Japan": "Tokyo",
    "Germany": "Berlin",
    "Egypt": "Cairo",
    "Spain": "Madrid",
    "Russia": "Moscow",
    "England": "London",
    "Greece": "Athens",
    "China": "Beijing",
    "Austria": "Vienna",
    "Poland": "Warsaw",
    "Portugal": "Lisbon",
    "Ireland": "Dublin",
    "Norway": "Oslo",
    "Sweden": "Stockholm",
    "Finland": "Helsinki",
    "Denmark": "Copenhagen",
    "Hungary": "Budapest",
    "Belgium": "Brussels",
    "Turkey": "Ankara",
    "Iran": "Tehran",
    "Iraq": "Baghdad",
    "Cuba": "Havana",
    "Peru": "Lima",
    "Kenya": "Nairobi",
    "Syria": "Damascus",
    "Lebanon": "Beirut",
    "Thailand": "Bangkok",
    "Vietnam": "Hanoi",
    "Canada": "Ottawa",
    "Chile": "Santiago",
}
_COUNTRIES = list(CAPITAL_OF)


def statements(countries: list[str]) -> PromptPairs:
    """True and false statements about the capitals of some countries, for probes."""
    rows = [
        {
            "clean": f"The capital of {country} is {CAPITAL_OF[other]}.",
            "country": country,
            "truth": str(other == country),
        }
        for country, following in zip(countries, [*countries[1:], countries[0]], strict=True)
        for other in (country, following)
    ]
    return PromptPairs.from_rows(rows, answer=None)


LOOKED_AT, OTHERS = statements(_COUNTRIES[::2]), statements(_COUNTRIES[1::2])

# Capitals whose names are two tokens or more.
LONG_CAPITALS = PromptPairs(
    "The capital of {country} is the city of",
    "The capital city of {country} is called",
    country=contrast(clean=["India", "Argentina", "Mexico", "Malaysia", "Ethiopia"], corrupt=["France", "Italy"]),
    answer=lambda clean: (
        " "
        + {
            "India": "New Delhi",
            "Argentina": "Buenos Aires",
            "Mexico": "Mexico City",
            "Malaysia": "Kuala Lumpur",
            "Ethiopia": "Addis Ababa",
        }[clean["country"]]
    ),
    foil=lambda clean: [" Paris", " Rome"],
)
