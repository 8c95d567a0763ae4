"""Sentences about attributes that many kinds of products share. ``[a|b]`` is one of two, ``{name}`` an attribute."""

from __future__ import annotations

from typing import Final

# Keyed by life stage: 0 young, 1 adult, 2 senior.
STAGE_OF_FOOD: Final = (
    ("Extra DHA and [small, soft pieces|more calories] help a {pet} grow at the right pace.",
     "Made for the first year, when a {pet} [needs more protein|builds bones and brain]."),
    ("Balanced for grown {animals} from one to seven years.",
     "[Steady|Even] energy for an adult {animal} at a healthy weight."),
    ("Fewer calories, with glucosamine for [stiff joints|hips that have done some miles]: made for a {pet}.",
     "A {pet} gets [gentle protein that spares the kidneys|softer pieces for older teeth].",
     "For {animals} of seven years and more, whose [teeth, joints and digestion change|needs change]."),
)  # fmt: skip
STAGE_OF_GEAR: Final = (
    ("Sized and made for a {pet}.", "Made to survive [needle teeth and accidents|the first year]."),
    ("For grown {animals}.",),
    ("Made for a {pet}: [easy on sore hips|low to step into, thick where it counts].",),
)
STAGE_OF_CARE: Final = (("The dose is right for a {pet}.",), ("The dose suits adult {animals}.",), ("The dose suits a {pet}.",))
# Keyed by diet, in the order of ``DIETS``.
DIET: Final = (
    (),
    ("Grain-free: [no wheat, corn or rice, but peas and sweet potato|peas and lentils take the place of wheat and corn].",
     "For {animals} that do badly on grain, this recipe has [none at all|no wheat, corn, soy or rice].",
     "This grain-free food is a safe choice for {animals} with [itchy skin|food sensitivities]."),
    ("One animal protein and few ingredients make it easy to [find out what a {animal} can't take|avoid allergens].",
     "A limited ingredient recipe: [you can read the whole label in one breath|nothing that is not needed]."),
    ("Easy to digest, with prebiotic fibre and rice for a [sensitive|nervous] stomach.",
     "Gentle on {animals} that [throw up often|have loose stools]."),
    ("A third less fat helps a {pet} [lose weight slowly|stay trim] without begging.",
     "L-carnitine and extra fibre for {animals} that [move little|live indoors]."),
)  # fmt: skip
DIET_POINT: Final = (
    "", "Grain-free: no wheat, corn, soy or rice", "Limited ingredients, single protein", "Gentle on sensitive stomachs",
    "Fewer calories for a healthy weight",
)  # fmt: skip
STAGE_POINT: Final = ("For {pets} in their first year", "For adult {animals}", "For senior {animals} of 7 years and older")
FIT: Final = (
    "[Made|The right size] {fit}.",
    "This one is {fit}; [see the size chart|measure before you order].",
)
BREED: Final = ("[Kibble|Piece] size and energy suit {fit} dogs.", "Made for {fit} dogs.")
SIZE: Final = ("The {fit} size fits most {fit} dogs; [see the chart|measure first].", "This is size {fit}.")
SCENT: Final = ("The scent is {flavour}: [never strong|there, but faint].", "In {flavour}.")
UNSCENTED: Final = ("Unscented, for sensitive noses.", "No perfume at all.")
MATERIAL: Final = (
    "{material} is [easy to clean|made to last|light and strong].",
    "We chose {material} because it [lasts|ages well].",
)
COLOUR: Final = ("Shown in {colour}.", "In {colour}, [one of several colours|a colour that hides dirt].")
PACK: Final = ("Pack size: {pack}, enough for about {weeks}.", "This pack ({pack}) lasts one {eater} about {weeks}.")
PACK_POINT: Final = "{pack}, about {weeks} for one {eater}"
CLOSING: Final = (
    "{story}", "{story}", "{brand}: {story_lower}",
    "Not right? Send it back within [30|60] days.",
    "[Customers buy it again|A favourite of our shop] year after year.",
    "[Questions? Ask us.|Our team uses it at home.]",
)  # fmt: skip
