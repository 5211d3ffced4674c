"""The words the bundled model's sentences are made of.

Every word here, with a space in front, is also a single token of GPT-2's own tokenizer (except "apricot"), so a
prompt made of them lines up position by position on GPT-2 too.
"""


def _words(text: str) -> tuple[str, ...]:
    """The words of a text: lists read better without quotes and commas."""
    return tuple(text.split())


AN_FRUITS = _words("apple orange olive avocado almond apricot")
A_FRUITS = _words("pear plum fig lemon banana peach cherry lime mango coconut")

AN_NOUNS = AN_FRUITS + _words(
    """
    onion egg oven umbrella elephant eagle owl ant ape ox island inn office attic alley avenue airport airplane
    engine arrow axe anchor album envelope elevator ornament instrument insect iron item image icon idol artist actor
    actress author aunt uncle engineer editor officer emperor infant orphan outlaw agent ambulance apartment arch
    arena army aisle estate exit entrance ear eye elbow ankle arm essay article exam offer organ oak ocean outfit
    alarm animal antenna asteroid athlete attorney elf hour heir
    """
)
A_NOUNS = A_FRUITS + _words(
    """
    table chair lamp river dog cat horse boat house book bottle candle carpet castle cup desk door drum farm flag
    forest fork garden gate glove guitar hammer hat hill jacket kettle key kitchen knife ladder lake letter map mirror
    mountain mouse needle painting pencil piano pillow plate pocket rabbit ring road rope saddle shoe spoon stone
    sword tent tower train wagon wheel window unicorn uniform
    """
)
AN_ADJECTIVES = _words(
    "old empty open ugly odd easy angry expensive ancient unusual elegant enormous amazing awful electric icy"
)
A_ADJECTIVES = _words(
    "big small red blue green new heavy cheap pretty broken round strange wooden useful tiny clean dirty"
)

MALE_NAMES = _words("John Tom James Mark Paul Peter David Michael Robert George Henry Jack Simon Daniel Adam Luke")
FEMALE_NAMES = _words("Mary Anna Emma Sarah Alice Jane Kate Lucy Laura Julia Susan Emily Helen Lisa Maria Amy")
NAMES = MALE_NAMES + FEMALE_NAMES

PLACES = _words("store park school market beach station garden church hospital library office airport")
THINGS = _words("drink book ball letter ring basket necklace lamp apple egg orange umbrella album onion")

SINGULARS = _words(
    """
    key cabinet dog cat boy girl box book table picture letter window door bottle cup bird tree teacher farmer
    doctor student flower chair car horse boat
    """
)
PLURALS = tuple(f"{noun}es" if noun.endswith("x") else f"{noun}s" for noun in SINGULARS)
PREPOSITIONS = _words("near behind beside under with by")
STATES = _words("old new red small clean dirty strange pretty")
FEELINGS = _words("happy sad tired hungry angry cold")

LIST_WORDS = AN_NOUNS[:42] + A_NOUNS[:42]

EVENTS = _words("war siege voyage journey trial famine strike project drought reign expedition campaign")
CENTURIES = tuple(str(century) for century in range(11, 19))
ENDINGS = tuple(f"{ending:02d}" for ending in range(100))
