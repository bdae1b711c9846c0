"""What a prompt asks for, found by its words.

MOODS, SCENES and SUBJECTS list the words that ask for each entry. The order matters: when the prompt's words ask for
several moods or scenes, the entry that stands first here wins.
"""

import re

MOODS = {
    "neon": "neon cyberpunk cyber synthwave vaporwave retrowave futuristic hologram nightclub",
    "space": "space galaxy planet cosmos cosmic nebula alien universe astronaut spaceship starship orbit mars",
    "sunset": "sunset dusk evening twilight golden fire flame lava volcano dragon epic warm romantic",
    "night": "night midnight moon moonlit moonlight stars starry star dark darkness mysterious gothic ghost vampire",
    "dawn": "dawn sunrise morning pastel dreamy soft gentle calm cherry blossom spring pink baby peaceful",
    "storm": "storm stormy rain rainy thunder lightning fog foggy mist misty gloomy sad grey gray moody noir",
    "snow": "snow snowy winter ice icy frozen arctic glacier christmas blizzard frost",
    "autumn": "autumn fall october harvest vintage sepia coffee antique",
    "desert": "desert dune sand sahara canyon egypt pyramid camel cactus western",
    "forest": "forest wood jungle tree garden nature fairy mushroom meadow rainforest bamboo",
    "sea": "sea ocean beach coast island wave boat ship harbor harbour fish whale sailor lighthouse water river lake",
    "day": "day sunny noon summer bright happy cheerful",
}
SCENES = {
    "city": "city town street skyline skyscraper cyberpunk neon tokyo york paris london urban car robot tower taxi",
    "space": "space galaxy planet cosmos cosmic nebula alien universe astronaut spaceship starship orbit mars rocket",
    "mountains": "mountain alps peak everest glacier volcano cliff canyon eagle",
    "sea": "sea ocean beach coast island wave ship harbor harbour fish whale sailor water river lake captain pirate",
    "desert": "desert dune sand sahara egypt pyramid camel cactus western",
    "forest": "forest wood jungle rainforest bamboo pine deer owl mushroom fairy",
    "hills": "hill field meadow valley farm countryside garden village snow winter spring flower",
    "abstract": "abstract geometric geometry pattern bauhaus cubism concept idea justice freedom logo texture shape",
}
SUBJECTS = {
    "fox": "fox vixen",
    "wolf": "wolf husky",
    "cat": "cat kitten kitty",
    "dog": "dog puppy hound corgi",
    "bear": "bear grizzly panda",
    "rabbit": "rabbit bunny hare",
    "castle": "castle fortress palace",
    "house": "house cottage cabin home hut barn",
    "lighthouse": "lighthouse",
    "boat": "boat ship sailboat yacht",
    "tree": "tree oak apple",
    "dragon": "dragon wyvern",
    "balloon": "balloon airship",
    "birds": "bird eagle seagull swallow crow raven dove goose parrot",
    "portrait": "portrait face headshot selfie sailor captain woman man girl boy queen king lady wizard witch viking",
    "person": "person wanderer traveler traveller monk knight samurai hiker pilgrim people child",
}
COLORS = {
    "red": "#d23b34",
    "crimson": "#b3202f",
    "scarlet": "#dd3325",
    "orange": "#e8822c",
    "golden": "#e9b13c",
    "gold": "#e9b13c",
    "yellow": "#f0cc45",
    "green": "#3f9a5a",
    "emerald": "#1f8f63",
    "teal": "#1f8f8c",
    "turquoise": "#35b5b0",
    "blue": "#2e6fc4",
    "azure": "#3a93dd",
    "indigo": "#3f3a9c",
    "purple": "#7b46b0",
    "violet": "#8450c4",
    "pink": "#ec7fa5",
    "magenta": "#d23a92",
    "brown": "#80522f",
    "white": "#f3efe6",
    "black": "#2b2833",
    "silver": "#b8c0c8",
    "grey": "#8a9098",
    "gray": "#8a9098",
}
SNOW = {"snow", "snowy", "winter", "blizzard", "christmas"}
RAIN = {"rain", "rainy", "storm", "stormy", "thunder"}


def tokens(prompt: str) -> list[str]:
    """The prompt's words in order, lower case, a plural s also taken off."""
    found = re.findall(r"[^\W\d_]+", prompt.lower())
    return [form for word in found for form in ((word, word[:-1]) if word.endswith("s") else (word,))]


def pick(table: dict[str, str], words: list[str]) -> str | None:
    """The first entry of a word table that has one of the words, if any has."""
    return next((name for name, asked in table.items() if not set(words).isdisjoint(asked.split())), None)


def subject_of(word: str) -> str | None:
    """The subject a word names, if it names one."""
    return next((name for name, asked in SUBJECTS.items() if word in asked.split()), None)
