"""The behaviours that the gallery's claims are about: each a population of at most 128 pairs."""

from circuitcheck import PromptPairs, contrast

NAMES = ["John", "Mary", "Tom", "Anna", "James", "Peter", "David", "Lucy"]

# Two shots of what is asked, then a noun: " an" or " a" by its first sound.
ARTICLES = PromptPairs(
    "I saw a pear and picked a pear. I saw an orange and picked an orange. I saw the {noun} and picked",
    "At the fair we sold a lamp. At the fair we sold an arrow. We found the {noun} and sold",
    noun=contrast(
        clean=["apple", "egg", "umbrella", "onion", "eagle", "engine", "ant", "island"],
        corrupt=["lemon", "cup", "hammer", "potato", "tiger", "motor", "bee", "river"],
    ),
    answer=" an",
    foil=" a",
)

# Who receives is who does not give: in either order of the names.
INDIRECT = PromptPairs(
    "When {io} and {s} went to the {place}, {giver} gave a {thing} to",
    "When {s} and {io} went to the {place}, {giver} gave a {thing} to",
    io=NAMES[:4],
    s=NAMES[4:],
    giver=contrast(clean="{s}", corrupt="{io}"),
    place=["store", "park"],
    thing=["book", "drink"],
    answer=" {io}",
    foil=" {s}",
)

# A war ends after it began; years are single digits here, and the last two are asked by their first.
YEARS = PromptPairs(
    "The {event} lasted from the year 17{start}4 to the year 17",
    event=["war", "siege", "voyage", "trial", "feud", "drought"],
    start=contrast(clean=["3", "4", "5", "6", "7"], corrupt=["0", "1"]),
    answer=lambda clean: [str(one) for one in range(int(clean["start"]) + 1, 10)],
    foil=lambda clean: [str(one) for one in range(int(clean["start"]))],
)

SUBJECTS = contrast.pairs(
    [("keys", "key"), ("dogs", "dog"), ("books", "book"), ("cars", "car"), ("boys", "boy"), ("paintings", "painting")]
)

# The verb goes with its subject, over a noun of the other number.
AGREEMENT = PromptPairs(
    "The {subject} near the {attractor}",
    "The {subject} that the {attractor} liked",
    subject=SUBJECTS,
    attractor=["cabinet", "teacher", "lawyer", "house", "queen", "doctor"],
    answer=" are",
    foil=" is",
)
PLAIN_AGREEMENT = PromptPairs(
    "The {subject}",
    "Yesterday we saw that the {subject}",
    subject=SUBJECTS,
    answer=" are",
    foil=" is",
)

# What came after a word comes after it again.
INDUCTION = PromptPairs(
    "{first} {cue} {a} {b} {c}. {d} {first} {cue}",
    first=["red", "dark"],
    cue=["river", "garden"],
    a=contrast(clean=["window", "mountain", "engine", "pencil"], corrupt=["doctor", "market", "ocean", "candle"]),
    b=["seven", "quiet"],
    c=["under"],
    d=["then"],
    answer=" {a}",
    foil=lambda clean: [" doctor", " market", " ocean", " candle"],
)

PRONOUNS = PromptPairs(
    "My friend {name} is late because",
    "My friend {name} was ill, so",
    "I asked my friend {name} whether",
    name=contrast(clean=["John", "Peter", "David", "James"], corrupt=["Mary", "Anna", "Lucy", "Susan"]),
    answer=" he",
    foil=" she",
)

CAPITALS = PromptPairs(
    "The capital of {country} is the city of",
    "The capital city of {country} is called",
    country=contrast(
        clean=["France", "Italy", "Japan", "Germany", "Egypt", "Spain", "Russia"],
        corrupt=["England", "Greece", "China", "Austria"],
    ),
    answer=lambda clean: (
        " "
        + {
            "France": "Paris",
            "Italy": "Rome",
            "Japan": "Tokyo",
            "Germany": "Berlin",
            "Egypt": "Cairo",
            "Spain": "Madrid",
            "Russia": "Moscow",
        }[clean["country"]]
    ),
    foil=[" London", " Athens", " Beijing", " Vienna"],
)

DOCSTRING = PromptPairs(
    'def {f}(self, {x}, {y}, {z}):\n    """{f} of what is there\n\n    :param {x}: {u} {v}\n    :param {y}: {w} {v}\n    :param',
    f=["load", "port", "send"],
    x=["files", "page", "user"],
    y=["model", "size", "path"],
    z=contrast(clean=["shape", "name"], corrupt=["event", "token"]),
    u=["first"],
    v=["value"],
    w=["second"],
    answer=" {z}",
    foil=[" event", " token"],
)

NEXT_DAY = {"Monday": " Tuesday", "Tuesday": " Wednesday", "Wednesday": " Thursday", "Thursday": " Friday"}
DAYS = PromptPairs(
    "{shots} is followed by Saturday. Sunday is followed by Monday. {day} is followed by",
    "{shots} comes Saturday. After Sunday comes Monday. After {day} comes",
    shots=[
        "Monday is followed by Tuesday. Friday",
        "After Monday comes Tuesday. After Friday",
        "On Monday we rest. Friday",
        "The day after Friday",
    ],
    day=contrast(clean=list(NEXT_DAY), corrupt=["Saturday"]),
    answer=lambda clean: NEXT_DAY[clean["day"]],
    foil=" Sunday",
)
NEXT_NUMBER = {"two": " three", "three": " four", "four": " five", "six": " seven"}
NUMBERS = PromptPairs(
    "{shots} is followed by six. eight is followed by nine. {number} is followed by",
    "{shots} comes six. After eight comes nine. After {number} comes",
    shots=["one is followed by two. five", "After one comes two. After five", "The number after five"],
    number=contrast(clean=list(NEXT_NUMBER), corrupt=["seven"]),
    answer=lambda clean: NEXT_NUMBER[clean["number"]],
    foil=" eight",
)

# The same gift among prompts that are answered by an algorithm: whoever of the two does not give receives.
RECEIVERS = PromptPairs(
    "When {n1} and {n2} went to the {place}, {giver} gave a book to",
    n1=NAMES[:6],
    n2=NAMES[:6],
    giver=NAMES[:6],
    distinct=("n1", "n2"),
    where=lambda giver, n1, n2: giver in (n1, n2),
    place=["store", "park"],
    variables={
        "order": lambda n1, giver: "first" if giver == n1 else "second",
        "receiver": lambda n1, n2, order: n2 if order == "first" else n1,
    },
    answer=" {receiver}",
    foil=" {giver}",
)

# The same gift with many receivers, for claims about names that are not among them.
OTHER_NAMES = [
    "Paul",
    "Mark",
    "Robert",
    "Michael",
    "Sarah",
    "Emma",
    "Alice",
    "Jane",
    "George",
    "Henry",
    "William",
    "Charles",
    "Edward",
    "Richard",
    "Thomas",
    "Joseph",
    "Daniel",
    "Matthew",
    "Andrew",
    "Simon",
    "Frank",
    "Jack",
    "Sam",
    "Ben",
    "Max",
    "Alex",
    "Chris",
    "Adam",
    "Eric",
    "Kevin",
    "Brian",
    "Steve",
    "Laura",
    "Emily",
    "Julia",
    "Helen",
    "Ruth",
    "Rachel",
    "Susan",
    "Linda",
]
MANY_NAMES = PromptPairs(
    "When {io} and {s} went to the store, {giver} gave a book to",
    io=OTHER_NAMES,
    s=["Peter", "Lucy"],
    giver=contrast(clean="{s}", corrupt="{io}"),
    answer=" {io}",
    foil=" {s}",
)

# Few pairs of other names, on which edges are looked for.
OTHER_INDIRECT = PromptPairs(
    "When {io} and {s} went to the {place}, {giver} gave a {thing} to",
    "When {s} and {io} went to the {place}, {giver} gave a {thing} to",
    io=["Paul", "Sarah", "Robert", "Emma"],
    s=["Michael", "Jane"],
    giver=contrast(clean="{s}", corrupt="{io}"),
    place=["school", "store"],
    thing=["letter"],
    answer=" {io}",
    foil=" {s}",
)

# The same behaviours as algorithms, for interchanges: what lies between the fillers and the answer is a variable. Prompts are clean ones
# alone; base and source are any two of them.
VOWELS = ["apple", "egg", "umbrella", "onion", "eagle", "engine", "ant", "island"]
SOUND = PromptPairs(
    "I saw a pear and picked a pear. I saw an orange and picked an orange. I saw the {noun} and picked",
    "At the fair we sold a lamp. At the fair we sold an arrow. We found the {noun} and sold",
    noun=[*VOWELS, "lemon", "cup", "hammer", "potato", "tiger", "motor", "bee", "river"],
    variables={"sound": lambda noun: "vowel" if noun in VOWELS else "consonant"},
    answer=lambda sound: " an" if sound == "vowel" else " a",
    foil=lambda sound: " a" if sound == "vowel" else " an",
)
# The attractor's number must not matter.
NUMBER = PromptPairs(
    "The {subject} near the {attractor}",
    "The {subject} that the {attractor} liked",
    subject=["keys", "key", "dogs", "dog", "books", "book", "cars", "car", "boys", "boy", "paintings", "painting"],
    attractor=["teacher", "teachers"],
    variables={"number": lambda subject: "many" if subject.endswith("s") else "one"},
    answer=lambda number: " are" if number == "many" else " is",
    foil=lambda number: " is" if number == "many" else " are",
)
MEN = ["John", "Peter", "David", "James", "Tom", "Paul"]
GENDER = PromptPairs(
    "My friend {name} is late because",
    "My friend {name} was ill, so",
    "I asked my friend {name} whether",
    name=[*MEN, "Mary", "Anna", "Lucy", "Susan", "Emma", "Jane"],
    variables={"gender": lambda name: "he" if name in MEN else "she"},
    answer=" {gender}",
    foil=lambda gender: " she" if gender == "he" else " he",
)
# A war that began early ends in a decade in which one that began late can not have ended.
ERA = PromptPairs(
    "The {event} lasted from the year 17{start}4 to the year 17",
    event=["war", "siege", "voyage", "trial", "drought", "strike"],
    start=["0", "1", "4", "5", "6"],
    variables={"era": lambda start: "early" if start in "01" else "late"},
    answer=lambda era: ["2", "3"] if era == "early" else ["7", "8"],
    foil=lambda era: ["7", "8"] if era == "early" else ["2", "3"],
)

# Which of two words the first noun follows: what a head must know at a noun for induction. Clean and corrupted prompts differ in it alone.
MATCH = PromptPairs(
    "The {p} {a} and the {q} {b}, then the {x}",
    x=["red", "dark", "green"],
    y=["river", "garden"],
    p=contrast(clean="{x}", corrupt="{y}"),
    q=contrast(clean="{y}", corrupt="{x}"),
    a=["window", "mountain", "engine"],
    b=["doctor", "market", "ocean"],
    answer=" {a}",
    foil=" {b}",
)

# The same without corrupted prompts: either of the two words may be asked for, and what follows it is the answer.
FOLLOWS = PromptPairs(
    "The {x} {a} and the {y} {b}, then the {cue}",
    x=["blue", "warm"],
    y=["blue", "warm"],
    cue=["blue", "warm"],
    a=["ladder", "bridge", "hammer"],
    b=["lawyer", "teacher"],
    distinct=("x", "y"),
    where=lambda cue, x, y: cue in (x, y),
    variables={"place": lambda cue, x: "first" if cue == x else "second"},
    answer=lambda place, a, b: f" {a if place == 'first' else b}",
    foil=lambda place, a, b: f" {b if place == 'first' else a}",
)
