"""The adjectives that name a text's style: one family for each property, the canonical word first."""

from __future__ import annotations

__all__ = ["PROPERTIES"]

_WORDS = {
    "elementary": "elementary simple childlike basic easy plain accessible beginner understandable simplified rudimentary "
    "introductory juvenile",
    "expert": "expert technical scholarly academic specialized scientific professional sophisticated erudite learned "
    "advanced complex intellectual",
    "concise": "concise brief terse short succinct compact pithy condensed laconic telegraphic compressed minimal",
    "informative": "informative detailed thorough comprehensive elaborate explanatory extensive exhaustive instructive "
    "expansive lengthy educational",
    "friendly": "friendly warm cordial kind cheerful welcoming affectionate amiable supportive caring pleasant "
    "encouraging",
    "unfriendly": "unfriendly hostile rude cold dismissive harsh curt impolite aggressive brusque grumpy contemptuous",
    "sassy": "sassy cheeky bold playful saucy flirty brash feisty impudent teasing spunky flamboyant",
    "sarcastic": "sarcastic ironic mocking sardonic cynical satirical snide scornful wry derisive taunting facetious",
    "persuasive": "persuasive convincing compelling motivating urging promotional influential inspiring insistent "
    "enticing argumentative rousing",
    "neutral": "neutral impartial objective unbiased impersonal detached factual dispassionate balanced unemotional "
    "matter-of-fact indifferent",
    "poetic": "poetic lyrical romantic metaphorical flowery imaginative dreamy melodic rhythmic evocative figurative "
    "musical",
    "formal": "formal official polite ceremonious businesslike bureaucratic corporate dignified courteous respectful "
    "proper stiff",
    "informal": "informal casual colloquial slangy relaxed conversational chatty laid-back everyday folksy loose "
    "breezy",
}
PROPERTIES: dict[str, tuple[str, ...]] = {name: tuple(words.split()) for name, words in _WORDS.items()}
