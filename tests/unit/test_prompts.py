from __future__ import annotations

import pytest

from xpert.errors import DataError, ReferenceNotFoundError
from xpert.prompts import DOMAINS, shipped_prompts


@pytest.mark.parametrize(("domain", "n"), [("general", 200), ("law", 100), ("science", 100), ("captions", 200)])
def test_each_domain_has_its_prompts_without_repetition(domain: str, n: int) -> None:
    prompts = shipped_prompts(domain)
    assert len(prompts) == len({prompt.lower() for prompt in prompts}) == n
    assert all(prompt == prompt.strip() and len(prompt.split()) >= 3 for prompt in prompts)


def test_domains_share_no_prompt() -> None:
    everything = [prompt for domain in DOMAINS for prompt in shipped_prompts(domain)]
    assert len(everything) == len(set(everything))


def test_a_sample_depends_on_the_seed_alone() -> None:
    assert shipped_prompts("law", 20, seed=3) == shipped_prompts("law", 20, seed=3)
    assert shipped_prompts("law", 20, seed=3) != shipped_prompts("law", 20, seed=4)
    assert set(shipped_prompts("law", 20, seed=3)) <= set(shipped_prompts("law"))


def test_the_list_handed_out_is_the_callers_own() -> None:
    shipped_prompts("law").clear()
    assert len(shipped_prompts("law")) == 100


@pytest.mark.parametrize("n", [0, 101])
def test_more_prompts_than_there_are_is_an_error(n: int) -> None:
    with pytest.raises(DataError, match=f"expected 1 to 100 prompts of the domain 'law', got {n}"):
        shipped_prompts("law", n)


def test_an_unknown_domain_names_the_known_ones() -> None:
    with pytest.raises(ReferenceNotFoundError, match=r"'cooking'.*general, law, science"):
        shipped_prompts("cooking")
