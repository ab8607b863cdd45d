"""All arms, in the order of their first slices, and what is built for them."""

import itertools

import fuzzing

from campaign import arms, proofs

# The loads of stress/rules.mk that say something about races; soak runs in release, sampled.
LOADS = ("larson", "xfree", "threads", "fork", "realloc", "align", "huge", "oom", "frag", "reuse",
         "purge", "calls")
PROOFS_AFTER = 30  # arms: then come those that take long, so that an hour has room for them


def every():
    """All arms of the registry, the loads and the model, in the order of their first slices.

    Kinds in turns: a short campaign has seen something of each. The canary is first of all.
    """
    fuzzers = fuzzing.registry()
    scheduled = [i for i in fuzzers if i.flavour == "sched-fuzz"]
    walks, races = [], []
    for target in dict.fromkeys(i.target for i in scheduled):
        judges = [i for i in scheduled if i.target == target]
        walks += [arms.Walk(target, s, judges, judges[0].share / 2) for s in arms.STRATEGIES]
        small = [i for i in judges if i.geometry == "small"]
        races += [arms.Walk(target, "", small, judges[0].share / 2, tsan=True)] if small else []
    kinds = [[arms.LibFuzzer(i) for i in fuzzers if i.kind != "canary"], walks, races,
             [arms.Afl(i) for i in fuzzing.registry("afl") if i.kind != "canary"],
             [arms.Stress("soak", "release", 1)] + [arms.Stress(l, "tsan", 1) for l in LOADS]]
    turns = [arm for turn in itertools.zip_longest(*kinds) for arm in turn if arm]
    first = [arms.Canary(i) for i in fuzzers if i.kind == "canary"] + [proofs.Model()]
    long = [proofs.Orders(), proofs.Mutants()]
    return first + turns[:PROOFS_AFTER] + long + turns[PROOFS_AFTER:] + [proofs.Generated()]


def builds(chosen):
    """(files for one make, flavours whose stress loads are wanted)"""
    wanted = {str(p) for a in chosen for p in a.programs() if not isinstance(p, tuple)}
    flavours = sorted({p[1] for a in chosen for p in a.programs() if isinstance(p, tuple)})
    return [*sorted(wanted), str(fuzzing.BUILD / "ops")], flavours
