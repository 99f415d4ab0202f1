#!/usr/bin/env python3
"""Regenerates tests/data/stats/*.json, the values that src/stats is checked against.

    python3 -m venv venv && venv/bin/pip install scipy numpy statsmodels
    venv/bin/python scripts/reference-stats.py

Written with scipy 1.17.1, numpy 2.4.6 and statsmodels 0.15.0. Nothing here shares a method with
the Rust code: small samples are enumerated sign by sign in integers, larger ones come from scipy.
The data lie on a grid of 1/64 or are whole numbers, so that every sum and half of a sum is exact
in binary and in a few decimals. Infinite values are written as null.
"""

import json
import math
from pathlib import Path

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "stats"
GRID = 64


def enumerate_p(d):
    """(P(W+ >= w), P(W+ <= w)) over all signs of the non-zero values; zeros are ranked (Pratt)."""
    d = np.asarray(d)
    ranks = np.rint(2 * stats.rankdata(np.abs(d))).astype(np.int64)
    observed = ranks[d > 0].sum()
    ranks = ranks[d != 0]
    sums = np.zeros(1, dtype=np.int64)
    for rank in ranks:
        sums = np.concatenate([sums, sums + rank])
    return (sums >= observed).mean(), (sums <= observed).mean(), observed / 2


def walsh(d):
    i, j = np.triu_indices(len(d))
    return (d[i] + d[j]) / 2


def lower_end(d, alpha):
    """(value, open?) of the set of centres with P(W+ >= w) > alpha, found by looking at all."""
    # Four times the grid: averages and the points between them are integers.
    scaled = np.rint(np.asarray(d) * GRID * 4).astype(np.int64)
    knots = np.unique(np.rint(walsh(scaled)).astype(np.int64))
    candidates = [(knots[0] - 1, None, False)]
    for knot in knots:
        candidates += [(knot, knot, False), (knot + 1, knot, True)]
    accepted = [c for c in candidates if enumerate_p(scaled - c[0])[0] > alpha]
    _, knot, is_open = accepted[0]
    # No holes: what the proof in the Rust documentation promises.
    assert accepted == candidates[-len(accepted):]
    return (None, False) if knot is None else (float(knot) / GRID / 4, is_open)


def ends(d, alpha):
    lower, lower_open = lower_end(d, alpha)
    upper, upper_open = lower_end(-np.asarray(d), alpha)
    return {
        "alpha": alpha,
        "lower": lower,
        "lower_open": lower_open,
        "upper": None if upper is None else -upper,
        "upper_open": upper_open,
    }


def classical_ends(d, alpha):
    """Order statistics of the Walsh averages: valid without ties or zeros, for any n."""
    n = len(d)
    counts = [1]
    for rank in range(1, n + 1):
        counts = [
            (counts[s] if s < len(counts) else 0)
            + (counts[s - rank] if 0 <= s - rank < len(counts) else 0)
            for s in range(len(counts) + rank)
        ]
    # Largest c with P(W <= c) <= alpha, in integers.
    c, total = -1, 0
    while total + counts[c + 1] <= alpha * 2**n:
        c += 1
        total += counts[c]
    w = np.sort(walsh(np.asarray(d)))
    if c < 0:
        lower = upper = None
    else:
        # Centres beneath w[c] are rejected, centres above it are not. At w[c] itself the distances
        # tie (or one is zero); which way that goes is asked of the other reference, or not at all.
        lower, upper = float(w[c]), float(w[len(w) - 1 - c])
    return {"alpha": alpha, "lower": lower, "lower_open": None, "upper": upper, "upper_open": None}


def small(name, d, alphas):
    greater, less, w = enumerate_p(d)
    d = np.asarray(d, dtype=float)
    if np.any(d != 0) and 2 <= len(d) <= 12:
        # scipy enumerates too, when asked to.
        method = stats.PermutationMethod(n_resamples=np.inf)
        for alternative, mine in [("greater", greater), ("less", less)]:
            theirs = stats.wilcoxon(d, zero_method="pratt", alternative=alternative, method=method)
            assert abs(theirs.pvalue - mine) < 1e-12, (name, theirs.pvalue, mine)
    return {
        "name": name,
        "source": "enumeration of all signs, Pratt zeros",
        "d": d.tolist(),
        "w_plus": float(w),
        "p_greater": float(greater),
        "p_less": float(less),
        "hodges_lehmann": float(np.median(walsh(d))),
        "intervals": [ends(d, alpha) for alpha in alphas],
    }


def large(name, d, alphas, method):
    d = np.asarray(d, dtype=float)
    p = {}
    for alternative in ("greater", "less"):
        r = stats.wilcoxon(
            d,
            zero_method="pratt",
            correction=method == "asymptotic",
            alternative=alternative,
            method=method,
        )
        p[alternative] = float(r.pvalue)
    ranks = stats.rankdata(np.abs(d))
    return {
        "name": name,
        "source": f"scipy.stats.wilcoxon, method={method}",
        "d": d.tolist(),
        "w_plus": float(ranks[d > 0].sum()),
        "p_greater": p["greater"],
        "p_less": p["less"],
        "hodges_lehmann": float(np.median(walsh(d))),
        "intervals": [classical_ends(d, alpha) for alpha in alphas],
    }


def distinct(rng, n, shift, scale):
    """n whole numbers whose distances from zero all differ, and whose Walsh averages do."""
    while True:
        d = np.rint(rng.normal(shift, scale, n) * 1e7)
        a = np.abs(d)
        if len(np.unique(a)) == n and np.all(a > 0) and len(np.unique(walsh(d))) == n * (n + 1) // 2:
            return d


def signed_rank_cases():
    rng = np.random.default_rng(20240229)
    cases = [
        small("one", [0.5], [0.25, 0.49]),
        small("one-zero", [0.0], [0.25]),
        small("all-zero", [0.0] * 8, [0.01, 0.1]),
        small("two-opposite", [-0.5, 0.5], [0.25]),
        small("all-equal", [0.25] * 9, [0.01, 0.001]),
        small("all-equal-magnitude", [0.25, -0.25] * 5 + [0.25] * 2, [0.01, 0.1, 0.4]),
        small("zeros-and-positives", [0.0] * 5 + [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1 / 64, 0.05]),
        small("two-levels", [0.5] * 6 + [-1.0] * 5, [0.01, 0.05, 0.2]),
    ]
    alphas = [1 / 2048, 0.005, 0.01, 0.025, 0.05, 0.2]
    for i in range(36):
        n = int(rng.integers(5, 13))
        width = float(rng.choice([1.5, 3, 8, 30]))
        shift = float(rng.choice([0, 0, 0.7, -0.7])) * width
        d = np.rint(rng.normal(shift, width, n)) / GRID
        cases.append(small(f"grid-{i}-n{n}-w{width:g}", d, alphas))
    for i in range(6):
        n = 14
        d = np.rint(rng.normal(0.5, 2, n)) / GRID
        cases.append(small(f"tied-{i}-n14", d, []))
    for i, n in enumerate([6, 10, 12, 16, 20, 24, 24, 32, 40, 50]):
        shift = [0, 0.05, -0.05][i % 3]
        d = distinct(rng, n, shift, 0.05 + 0.002 * n)
        cases.append(large(f"distinct-{i}-n{n}", d, [5e-4, 0.01, 0.05], "exact"))
    for i, (n, width) in enumerate([(240, 0), (300, 5), (500, 40), (260, 2)]):
        d = np.rint(rng.normal(0.05 * max(width, 1), max(width, 20) if width == 0 else width, n)) / GRID
        # scipy decides about signs after dropping zeros; beyond the limit of the exact method
        # both sides must approximate.
        assert (d != 0).sum() > 200
        cases.append(large(f"approximate-{i}-n{n}", d, [], "asymptotic"))
    return cases


def holm_cases():
    rng = np.random.default_rng(7)
    cases = []
    for i in range(14):
        k = int(rng.integers(1, 25))
        p = rng.uniform(0, 1, k) ** float(rng.choice([1, 4, 8]))
        if i % 3 == 0:
            p = np.round(p, 2)
        alpha = float(rng.choice([0.01, 0.05]))
        rejected, adjusted, _, _ = multipletests(p, alpha=alpha, method="holm")
        cases.append(
            {
                "alpha": alpha,
                "p": p.tolist(),
                "adjusted": adjusted.tolist(),
                "rejected": [bool(r) for r in rejected],
            }
        )
    return cases


def qn(d):
    """Rousseeuw and Croux' Qn, for samples of ten and more."""
    n = len(d)
    h = n // 2 + 1
    distances = np.sort([abs(d[i] - d[j]) for i in range(n) for j in range(i)])
    return 2.2219 * distances[math.comb(h, 2) - 1] * n / (n + (1.4 if n % 2 else 3.8))


def planning_cases():
    rng = np.random.default_rng(11)
    z = stats.norm.ppf
    pairs = []
    for alpha in (5e-4, 0.01 / 14, 0.01, 0.05):
        for power in (0.5, 0.8, 0.9, 0.95):
            for s_d, delta in ((0.047, 0.0488), (0.16, 0.0953), (0.3, -0.25)):
                n = 1.05 * (z(1 - alpha) + z(power)) ** 2 * s_d**2 / delta**2 + z(1 - alpha) ** 2 / 2
                n = max(math.ceil(n), math.ceil(math.log2(1 / alpha)))
                # The effect seen with n pairs, found by root search rather than by algebra.
                mde = math.sqrt(1.05 * (z(1 - alpha) + z(power)) ** 2 * s_d**2 / (n - z(1 - alpha) ** 2 / 2))
                pairs.append(
                    {"alpha": alpha, "power": power, "s_d": s_d, "delta": delta, "pairs": n, "mde": mde}
                )
    minimum = [
        {"metrics": k, "alpha": a, "pairs": math.ceil(math.log2(k / a))}
        for k in (1, 2, 5, 14, 20, 40, 100, 1000)
        for a in (0.05, 0.01, 0.001)
    ]
    upper = []
    for k, n in ((0, 1), (0, 30), (0, 1000), (1, 30), (3, 30), (29, 30), (2, 2000), (150, 400), (7, 100000)):
        for confidence in (0.9, 0.95, 0.99):
            r = stats.binomtest(k, n, alternative="less").proportion_ci(confidence, method="exact")
            upper.append({"events": k, "trials": n, "confidence": confidence, "upper": float(r.high)})
    quantiles = []
    for n in (1, 2, 7, 30):
        x = np.sort(rng.lognormal(0, 1, n))
        q = [0.0, 0.05, 0.25, 0.5, 0.9, 0.95, 1.0]
        quantiles.append({"sorted": x.tolist(), "q": q, "values": np.quantile(x, q).tolist()})
    scales = []
    for n in (10, 11, 16, 24, 33):
        d = rng.standard_t(2, n) * 0.05
        scales.append({"d": d.tolist(), "qn": float(qn(d))})
    return {
        "pairs": pairs,
        "minimum": minimum,
        "clopper_pearson": upper,
        "quantiles": quantiles,
        "scales": scales,
    }


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for name, value in {
        "signed_rank": signed_rank_cases(),
        "holm": holm_cases(),
        "planning": planning_cases(),
    }.items():
        (OUT / f"{name}.json").write_text(json.dumps(value, indent=1) + "\n")
        print(name, len(value))


if __name__ == "__main__":
    main()
