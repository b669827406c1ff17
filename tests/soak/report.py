"""What a soak has found: a table, every violation in one line, JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.soak.checks import MOST_GROWTH, Sample, count_grows, drifts, fitted_growth, jump, memory_grows
from tests.soak.watch import Steps

MIB = 2**20
RING_S = 2 * 82.0  # two rounds of 8192 steps of 10 ms: a reader's pages of the ring become resident one by one
PERCENTS = (50.0, 99.0, 99.9, 100.0)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table. limit: in words. count: of the violations, of which the first are kept."""

    what: str
    measured: str
    limit: str
    violations: tuple[str, ...] = ()
    count: int = 0


def finding(what: str, measured: str, limit: str, violations: Sequence[str]) -> Finding:
    return Finding(what, measured, limit, tuple(violations), len(violations))


def judge(steps: Steps, samples: Sequence[Sample], exit_code: int | None, ended: str) -> list[Finding]:
    """ended: why the run was over before its time, or an empty text."""
    return [*of_steps(steps), *of_samples(samples), of_end(exit_code, ended)]


def of_steps(steps: Steps) -> list[Finding]:
    def of(kind: str, what: str, measured: str, limit: str) -> Finding:
        return Finding(what, measured, limit, tuple(steps.wrong.get(kind, ())), steps.wrong_count[kind])

    late = ", ".join(
        f"{name} {us:.0f}"
        for name, us in zip(("p50", "p99", "p99.9", "max"), steps.lateness_us(*PERCENTS), strict=True)
    )
    ages_ms = [a.age_ns / 1e6 for a in steps.ages] or [0.0]
    period_ms = steps.period_ns / 1e6
    none = [] if steps.steps else ["no step was seen"]
    return [
        finding("steps", f"{steps.steps}", "some", none),
        of("numbers", "numbers", f"{steps.skipped} grid points skipped and counted", "no gap that is not counted"),
        of("grid", "grid", f"{steps.steps} steps at t0 + n * {period_ms:g} ms", "to the nanosecond"),
        of("lateness", "lateness, us", late, f"0 ... {period_ms:g} ms"),
        of("losses", "ring", f"{steps.lost} lost in {len(steps.ages)} reads", "none lost"),
        finding(
            "clock",
            f"newest step {min(ages_ms):.3f} ... {max(ages_ms):.1f} ms old",
            f"never early; each minute one below {period_ms:g} ms",
            drifts(steps.ages, steps.period_ns),
        ),
    ]


def of_samples(samples: Sequence[Sample]) -> list[Finding]:
    """A run too short for the ring's pages is judged by the process's own memory alone."""
    end_s = samples[-1].t_s if samples else 0.0
    warm = [s for s in samples if s.t_s >= min(RING_S, end_s / 4.0)]
    limit = f"at most {MOST_GROWTH} times"
    found = [
        finding("own memory", grown(warm, [s.anon_bytes for s in warm]), limit, memory_grows(warm, "own memory", anon)),
        finding("descriptors", span([s.fds for s in warm]), "no growth", count_grows(warm, "descriptors", fds)),
        finding("threads", span([s.threads for s in warm]), "no growth", count_grows(warm, "threads", threads)),
    ]
    if end_s < 2.0 * RING_S:
        return [Finding("RSS", f"not judged before {2.0 * RING_S:.0f} s", limit), *found]
    return [finding("RSS", grown(warm, [s.rss_bytes for s in warm]), limit, memory_grows(warm, "RSS", rss)), *found]


def rss(s: Sample) -> int:
    return s.rss_bytes


def anon(s: Sample) -> int:
    return s.anon_bytes


def fds(s: Sample) -> int:
    return s.fds


def threads(s: Sample) -> int:
    return s.threads


def of_end(exit_code: int | None, ended: str) -> Finding:
    violations = [ended] if ended else []
    if exit_code != 0:
        violations.append(f"the controller ended with exit code {exit_code}, not 0")
    return finding("end", f"exit code {exit_code}", "stopped in order", violations)


def grown(samples: Sequence[Sample], y: Sequence[int]) -> str:
    if not y:
        return "no sample"
    fit = fitted_growth([s.t_s for s in samples], y)
    return f"{y[0] / MIB:.2f} -> {y[-1] / MIB:.2f} MiB, fit {fit:.4f}, last tenth / first {jump(y):.4f}"


def span(y: Sequence[int]) -> str:
    return f"{min(y)} ... {max(y)}" if y else "no sample"


def table(findings: Sequence[Finding]) -> str:
    rows = [("", "measured", "limit", "verdict")]
    rows += [(f.what, f.measured, f.limit, f"VIOLATED {f.count} times" if f.count else "ok") for f in findings]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def lines(findings: Sequence[Finding]) -> list[str]:
    """Every violation that was kept; how many more there were."""
    found = []
    for f in findings:
        found += [f"VIOLATED {f.what}: {violation}" for violation in f.violations]
        if f.count > len(f.violations):
            found.append(f"VIOLATED {f.what}: {f.count - len(f.violations)} more")
    return found


def as_json(findings: Sequence[Finding], steps: Steps, samples: Sequence[Sample], minutes: float) -> dict[str, Any]:
    late = dict(zip(map(str, PERCENTS), steps.lateness_us(*PERCENTS), strict=True))
    return {
        "v": 1,
        "minutes": minutes,
        "steps": steps.steps,
        "skipped": steps.skipped,
        "lost": steps.lost,
        "lateness_us": late,
        "findings": [asdict(f) for f in findings],
        "samples": [asdict(s) for s in samples[::60]],
    }
