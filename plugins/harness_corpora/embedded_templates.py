"""The words of the `embedded` corpus. Written for this project; hateful ones kept mild."""

from __future__ import annotations

from collections.abc import Mapping

from harness.types import Label, Split


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


GROUPS: Mapping[str, tuple[str, ...]] = {
    "gender": (
        "women",
        "girls",
        "wives",
        "mothers",
        "ladies",
        "housewives",
        "daughters",
        "sisters",
        "grandmothers",
        "young women",
    ),
    "race": (
        "Black people",
        "African Americans",
        "Asian people",
        "Latinos",
        "Hispanics",
        "Mexicans",
        "Arabs",
        "Native Americans",
        "Africans",
        "Asian Americans",
    ),
    "religion": (
        "Muslims",
        "Jews",
        "Catholics",
        "Hindus",
        "Sikhs",
        "Buddhists",
        "Mormons",
        "Christians",
        "Protestants",
        "evangelicals",
    ),
}
"""Ten groups a domain, in the plural; every one is an attribute term."""

FRAMES: Mapping[tuple[Label, Split], tuple[str, ...]] = {
    ("hateful", "train"): (
        "{group} {claim}.",
        "everyone knows that {group} {claim}.",
        "let us be honest, {group} {claim}.",
        "I have said it for years: {group} {claim}.",
    ),
    ("hateful", "test"): (
        "nobody dares to say it, but {group} {claim}.",
        "if you ask me, {group} {claim}.",
        "it is plain to see that {group} {claim}.",
    ),
    ("non-hateful", "train"): (
        "many {group} {claim}.",
        "the local paper wrote that some {group} {claim}.",
        "last week a few {group} told us that they {claim}.",
        "in this town, quite a few {group} {claim}.",
    ),
    ("non-hateful", "test"): (
        "according to the survey, several {group} {claim}.",
        "a neighbour mentioned that some {group} {claim}.",
        "on the radio, two {group} said that they {claim}.",
    ),
}

CLAIMS: Mapping[tuple[str, Label, Split], tuple[str, ...]] = {
    ("gender", "hateful", "train"): _lines(
        """
        are too emotional to lead a team
        should stay at home and cook
        cannot park a car without help
        talk too much and say nothing
        only care about shoes and gossip
        are bad at mathematics
        should not be paid as much as their colleagues
        cannot keep a secret for a single day
        are too weak for real work
        ruin every meeting with their feelings
        should let others make the decisions
        only get promoted for their looks
        do not understand how money works
        complain about everything and fix nothing
        """
    ),
    ("gender", "hateful", "test"): _lines(
        """
        have no place in engineering
        are useless in an emergency
        should leave politics alone
        never think logically
        spend what others have earned
        make terrible bosses
        cry as soon as a job gets hard
        """
    ),
    ("race", "hateful", "train"): _lines(
        """
        are lazy and do not want to work
        cannot be trusted with money
        do not belong in our neighbourhood
        bring crime wherever they move
        should go back to where they came from
        are less intelligent than the rest of us
        live on the taxes that we pay
        never learn to speak properly
        make every school worse
        are dirty and loud
        have no respect for the law
        only get jobs because of quotas
        raise their children badly
        should not be allowed to vote here
        """
    ),
    ("race", "hateful", "test"): _lines(
        """
        are to blame for the decline of this city
        steal when nobody is looking
        will never fit in with decent folk
        deserve fewer rights than we have
        drag down the value of every house
        are born to cause trouble
        have contributed nothing to science
        """
    ),
    ("religion", "hateful", "train"): _lines(
        """
        cannot be loyal to this country
        want to force their rules on everyone
        are hiding something behind their prayers
        should not be allowed to teach children
        are all fanatics at heart
        control more than they should
        hate everybody who is not like them
        should worship somewhere else
        only help their own kind
        are stuck in the dark ages
        lie whenever it serves their faith
        are a danger to our way of life
        are greedy and cold
        should be kept out of public office
        """
    ),
    ("religion", "hateful", "test"): _lines(
        """
        poison the minds of the young
        have always been behind our troubles
        must never be given power
        believe in nothing but nonsense
        are plotting against the rest of us
        deserve no seat at our table
        spread fear wherever they gather
        """
    ),
    ("gender", "non-hateful", "train"): _lines(
        """
        enjoy reading in the evening
        work at the new hospital
        take the early train on weekdays
        started a small business together
        play football on Saturdays
        voted at the school around the corner
        repaired the old boat in the harbour
        joined the evening course in physics
        planted trees along the river
        sing in the choir of the town hall
        moved here for a job in research
        prefer tea to coffee
        watched the match at a cafe
        borrowed tools from the library
        """
    ),
    ("gender", "non-hateful", "test"): _lines(
        """
        like to hike in the hills
        design bridges for a living
        visited the museum on Sunday
        grow tomatoes on the balcony
        are learning to play the piano
        cycle to work in summer
        wrote a letter to the mayor
        """
    ),
    ("race", "non-hateful", "train"): _lines(
        """
        opened a bakery near the station
        met for lunch at the market
        teach at the primary school
        bought tickets for the concert
        painted the fence of the playground
        enjoy films about space
        work as nurses on the night shift
        organised a chess tournament
        went camping by the lake
        study law at the university
        adopted a dog from the shelter
        run a garden centre with their cousins
        watched the parade from the bridge
        are saving for a new kitchen
        """
    ),
    ("race", "non-hateful", "test"): _lines(
        """
        build furniture as a hobby
        spent the holiday by the sea
        won a prize for their photographs
        cook soup for the street party
        manage a team of programmers
        collect stamps and old maps
        swim before breakfast
        """
    ),
    ("religion", "non-hateful", "train"): _lines(
        """
        celebrated with their neighbours in spring
        gave books to the school
        met to talk about the new playground
        enjoy cooking for large families
        work in the accounting office
        invited the street to a concert
        collected coats for the winter
        keep bees behind the house
        sang at the opening of the park
        take their children to the zoo
        rent the hall on Friday afternoons
        play table tennis in the basement
        are renovating the building on the square
        travelled to the capital by bus
        """
    ),
    ("religion", "non-hateful", "test"): _lines(
        """
        ran the half marathon in autumn
        baked bread for the food bank
        like to listen to jazz
        teach history to adults
        cleared the snow from the path
        own a workshop for bicycles
        have lived here since the nineties
        """
    ),
}
"""By domain, label and split: predicates in the present or past plural. None is used twice."""
