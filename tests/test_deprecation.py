"""Old names of arguments work for one more release, and say what they are called now."""

import numpy as np
import pandas as pd
import pytest

import routerlab as rl

N = 40
RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.normal(size=(N, 3)))
QUALITY = pd.DataFrame({"small": (X[0] > 0).astype(float), "large": 1.0})
COST = pd.DataFrame({"small": 0.001, "large": 0.01}, X.index)
SWEEP = rl.decision.sweep_estimates(QUALITY, COST)
ON = {"quality": QUALITY, "cost": COST, "baseline": "large"}
ROUTER = rl.KNNRouter(3)
RENAMED = {
    "savings": ("margin", "max_quality_loss", 0.05, lambda **old: rl.savings(SWEEP.at(0.01), **ON, **old)),
    "saving_at_parity": ("margin", "max_quality_loss", 0.05, lambda **old: rl.saving_at_parity(SWEEP, **ON, **old)),
    "plan_study": ("margin", "max_quality_loss", 0.05, lambda **old: rl.plan_study(n=100, **old)),
    "model_share": ("intents", "by", X[1] > 0, lambda **old: rl.model_share(SWEEP, **old)),
    "held_out_choices": ("n_folds", "cv", 4, lambda **old: rl.held_out_choices(ROUTER, X, **ON, **old)),
    "repeat_claims": ("n_folds", "cv", 4, lambda **old: rl.repeat_claims(ROUTER, X, **ON, n_repeats=3, **old)),
}


@pytest.mark.parametrize("function", RENAMED)
def test_an_old_name_does_what_the_new_one_does_and_warns(function):
    old, new, value, call = RENAMED[function]
    with pytest.warns(DeprecationWarning, match=f"The '{old}' argument of {function} is called '{new}' now") as caught:
        found = call(**{old: value})
    assert caught[0].filename == __file__
    assert str(found) == str(call(**{new: value}))
    with pytest.raises(TypeError, match=f"'{old}' and '{new}', which are one argument"):
        call(**{old: value, new: value})


def test_renamed_things_are_found_by_their_old_names_and_warn():
    from routerlab import labeling

    for old, new in (("agreement", labeling.krippendorff_alpha), ("Share", rl.stats.Interval)):
        with pytest.warns(DeprecationWarning, match=f"routerlab.labeling.{old} is called .*{new.__name__} now"):
            assert getattr(labeling, old) is new
    with pytest.raises(AttributeError, match="has no attribute 'disagreement'"):
        labeling.disagreement  # noqa: B018


def test_an_interval_answers_to_the_fields_of_the_two_objects_it_replaced():
    share = rl.stats.share_of([1, 0, 1, 1], None, np.arange(4))
    for old, new in (("share", "estimate"), ("value", "estimate"), ("ci_low", "low"), ("ci_high", "high")):
        with pytest.warns(DeprecationWarning, match=f"Interval.{old} is called '{new}' now"):
            assert getattr(share, old) == getattr(share, new)
