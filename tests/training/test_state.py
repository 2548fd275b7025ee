import numpy as np
import pytest
import torch

from openeo_udf_fusion.training.state import begin, decay_groups, rate_at


def state_of(model, rate=0.1):
    return begin(model, decay_groups(model.parameters(), 0.1), rate, np.random.default_rng(0))


def test_the_rate_rises_then_falls_to_a_fiftieth():
    rates = [rate_at(step, 100, 10) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] or max(rates) == rates[10]
    assert (np.diff(rates[:9]) > 0).all()
    assert (np.diff(rates[10:]) < 0).all()
    assert rates[-1] == pytest.approx(0.02)


def test_every_parameter_is_in_one_group_and_only_matrices_decay():
    model = torch.nn.Sequential(torch.nn.Conv1d(2, 3, 1), torch.nn.LayerNorm(3))
    decayed, others = decay_groups(model.parameters(), 0.1)
    assert [p.ndim for p in decayed["params"]] == [3]
    assert [p.ndim for p in others["params"]] == [1, 1, 1]
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)


def test_the_average_follows_the_network():
    torch.manual_seed(0)
    state = state_of(torch.nn.Linear(2, 1))
    gap = []
    for average in (0.0, 0.9):
        state.update(state.model(torch.ones(1, 2)).square().sum(), average)
        gap.append(float((state.model.weight - state.average.weight).detach().abs().max()))
    assert state.step == 2
    assert gap[0] == 0
    assert gap[1] > 0
    assert not any(p.requires_grad for p in state.average.parameters())


def test_the_lowest_score_wins_and_later_steps_do_not_change_it():
    torch.manual_seed(0)
    state = state_of(torch.nn.Linear(2, 1))
    kept = state.average.weight.clone()
    state.keep_if_best(1.0)
    for _ in range(3):
        state.update(state.model(torch.ones(1, 2)).square().sum(), 0.5)
    state.keep_if_best(1.5)
    assert (state.best_score, state.best_step) == (1.0, 0)
    best = state.best_network()
    torch.testing.assert_close(best.weight, kept, rtol=0, atol=0)
    assert not best.training
    assert not torch.equal(state.average.weight, kept)
