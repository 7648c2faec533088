"""The sample run as the search for three goals would report it: intervals, a void step, the generator and its hosts."""

from dataclasses import replace

from pinchpoint.records import Diagnosis, GeneratorSummary, GoalFigures, OtherHost
from support.sample_run import sample_diagnosis

GOALS = [
    GoalFigures("strict", "99.9 % of arrivals answered well within 250 ms", 0.001, 88.0, 94.0, 87.9, (86.1, 90.2), 9),
    GoalFigures("slo", "99 % of arrivals answered well within 500 ms", 0.01, 94.0, 98.0, 93.4, (91.8, 95.3), 11),
    GoalFigures("breaking", "half of the arrivals answered at all", 0.5, 140.0, None, 97.6, None, 3),
]
GENERATOR = GeneratorSummary(
    processes=2,
    load_cpus=[1],
    server_cpus=[0],
    max_rps=5210.0,
    highest_rps=139.0,
    cpu_peak=0.41,
    send_lag_ms_p99=0.9,
    scheduled=6120,
    unsent=80,
    imbalance=1.22,
    changes=["2 load processes share core 1: one was 92 % busy in its busiest second"],
    hosts=[
        OtherHost("bench-2", "load", 0.0123, 0.0002, "the connection was closed at second 31"),
        OtherHost("web-1", "target", -1.5, 0.0004, None),
    ],
)
LOST = "load worker bench-2 was lost"


def diagnosis_with_goals() -> Diagnosis:
    """Return the sample diagnosis with everything that the search of goals adds."""
    plain = sample_diagnosis()
    steps = list(plain.steps)
    steps[5] = replace(steps[5], steady=False)
    steps[7] = replace(steps[7], steady=True)
    void = replace(steps[6], index=12, phase="void", offered_rps=118.0, goodput_rps=61.0, passed=False, breaches=[LOST])
    void = replace(void, t_start_s=steps[-1].t_end_s, t_end_s=steps[-1].t_end_s + 6.0)
    capacity = replace(
        plain.capacity,
        goals=list(GOALS),
        sustainable_ci_rps=(91.8, 95.3),
        saturation_ci_rps=(96.0, 99.4),
        collapse_ratio=0.97,
    )
    return replace(plain, steps=[*steps, void], capacity=capacity, generator=GENERATOR)
