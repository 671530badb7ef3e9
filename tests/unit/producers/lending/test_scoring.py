"""Underwriting by a noisy signal: against the model it stands for, simulated, and against closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from producers.lending import scoring
from tests.unit.producers.lending.expected import outcome

MEANS = st.floats(-4, 1)
PRECISIONS = st.floats(0, 20)
HIGHEST = st.floats(0.001, 0.6)


def posterior_mean(z: float, noise: float, precision: float) -> float:
    """The best guess of z from s = z + noise / sqrt(precision)."""
    return (precision * z + math.sqrt(precision) * noise) / (1.0 + precision)


def expected_default(mean: float, guess: float, precision: float) -> float:
    """E[PD | s] where the best guess is `guess`."""
    return float(norm.cdf((mean + guess) / math.sqrt(1.0 + 1.0 / (1.0 + precision))))


@settings(deadline=None)  # kernels are compiled on the first call
@given(MEANS, PRECISIONS, HIGHEST, st.floats(-4, 4), st.floats(-4, 4))
def test_the_cutoff_is_where_a_loan_earns_nothing(
    mean: float, precision: float, highest: float, z: float, noise: float
) -> None:
    guess = posterior_mean(z, noise, precision)
    last = scoring.cutoff(mean, precision, highest)
    assert expected_default(mean, last, precision) == pytest.approx(highest, rel=1e-9)
    if abs(guess - last) > 1e-9:
        assert (guess < last) == (expected_default(mean, guess, precision) < highest)


def test_the_guess_is_the_posterior_mean() -> None:
    """In a sample of signals, the guess is what regression of z on the signal finds, and its variance is right."""
    draws = np.random.Generator(np.random.Philox(5)).standard_normal((2, 100_000))
    for tau in (0.25, 1.0, 3.0):
        guess = np.array([posterior_mean(z, e, tau) for z, e in draws.T])
        signal = draws[0] + draws[1] / math.sqrt(tau)
        slope = np.cov(draws[0], signal)[0, 1] / np.var(signal)
        assert guess == pytest.approx(tau / (1 + tau) * signal)
        assert slope == pytest.approx(tau / (1 + tau), abs=0.01)
        assert guess.var() == pytest.approx(tau / (1 + tau), rel=0.02)


@pytest.mark.parametrize(("mean", "tau", "highest"), [(-1.8, 1.0, 0.1), (-2.2, 3.0, 0.03), (-1.0, 0.2, 0.3)])
def test_the_closed_form_is_what_borrowers_do(mean: float, tau: float, highest: float) -> None:
    """Borrower by borrower with the kernels: within four standard errors of the closed form."""
    n = 200_000
    z, noise, fate = np.random.Generator(np.random.Philox(11)).standard_normal((3, n))
    last = scoring.cutoff(mean, tau, highest)
    taken = np.array([posterior_mean(a, b, tau) < last for a, b in zip(z, noise, strict=True)])
    hazard = np.array([norm.cdf(mean + a) for a in z[taken]])
    defaulted = norm.cdf(fate[taken]) < hazard
    expected = outcome(mean, tau, highest)
    assert taken.mean() == pytest.approx(expected.approved, abs=4 * math.sqrt(expected.approved / n))
    rate = expected.default_rate
    assert defaulted.mean() == pytest.approx(rate, abs=4 * math.sqrt(rate / taken.sum()))


@settings(deadline=None)
@given(MEANS, st.floats(0.05, 20), HIGHEST)
def test_the_closed_form_is_a_bivariate_normal(mean: float, tau: float, highest: float) -> None:
    """Sheppard's volume, from scipy, with the correlation of the docstring."""
    expected = outcome(mean, tau, highest)
    last = scoring.cutoff(mean, tau, highest) / math.sqrt(tau / (1 + tau))
    correlation = -math.sqrt(tau / (2 * (1 + tau)))
    joint = multivariate_normal([0, 0], [[1, correlation], [correlation, 1]]).cdf([mean / math.sqrt(2), last])
    assert expected.approved == pytest.approx(norm.cdf(last), rel=1e-9, abs=1e-300)
    if expected.approved > 0:
        assert expected.approved * expected.default_rate == pytest.approx(joint, abs=1e-6)


@settings(deadline=None)
@given(MEANS, st.floats(0.05, 10), HIGHEST)
def test_who_knows_more_loses_less(mean: float, tau: float, highest: float) -> None:
    """And nobody's book is worse than the worst loan it would make."""
    one, better = outcome(mean, tau, highest), outcome(mean, 2 * tau, highest)
    if one.approved > 1e-6 and better.approved > 1e-6:
        assert better.default_rate <= one.default_rate + 1e-9
        assert one.default_rate <= highest + 1e-9


def test_without_a_signal_all_or_none() -> None:
    prior = float(norm.cdf(-2.0 / math.sqrt(2)))
    assert outcome(-2.0, 0.0, 0.2) == (1.0, pytest.approx(prior))
    assert outcome(-2.0, 0.0, 0.05).approved == 0.0
    assert math.isnan(outcome(-2.0, 0.0, 0.05).default_rate)
    assert outcome(-2.0, 1e-9, 0.2).default_rate == pytest.approx(prior, rel=1e-4)
