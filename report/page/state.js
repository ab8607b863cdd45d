// state.js: the state of the night, on top.

function verdicts() {
    const c = data.campaign,
        bad = [],
        warn = [];
    const lives = data.mutants.rows.filter((r) => !r.killed).map((r) => r.name);
    if (!c)
        return {
            kind: "warn",
            sign: "–",
            title: "No hunt has been run yet",
            text: "make hunt, or make overnight HOURS=8",
        };
    if (data.findings.length) bad.push(many(data.findings.length, "finding"));
    if (data.canary && !data.canary.found)
        bad.push("the canary was not found: nothing else can be trusted");
    if (!data.canary) warn.push("no canary was hunted");
    if (lives.length) bad.push(`mutants live: ${lives.join(", ")}`);
    if (!data.mutants.rows.length) warn.push("no mutant was tried");
    else if (data.mutants.untried.length)
        warn.push(`${data.mutants.untried.length} mutants were not tried`);
    if (c.idle_arms) warn.push(`${many(c.idle_arms, "arm")} had no slice to the end`);
    if (c.hangs) warn.push(`${many(c.hangs, "slice")} hung`);
    if (!c.finished) warn.push("it has not ended yet");
    if (bad.length) return {kind: "bad", sign: "✗", title: bad.join("; "), text: warn.join("; ")};
    if (warn.length)
        return {
            kind: "warn",
            sign: "!",
            title: "Nothing was found",
            text: "but " + warn.join("; "),
        };
    return {
        kind: "good",
        sign: "✓",
        title: "Nothing was found, by a hunt that finds what is planted",
        text: "",
    };
}

function tile(kind, name, value, more) {
    return h(`div.tile.${kind}`, h("div.name", name), h("div.value", value), h("div.more", more));
}

function top() {
    const c = data.campaign,
        v = verdicts(),
        m = data.mutants;
    const killed = m.rows.filter((r) => r.killed).length;
    const g = data.generated.filter((r) => r.verdict !== "equivalent"),
        noticed = g.filter((r) => r.verdict === "killed").length;
    const needed = data.orders.filter((o) => o.killed).length;
    const passed = data.stress.filter((s) => s.passed);
    const proven = data.certificates.filter((x) => x.verdict === "ok");
    const proposed = data.targets.reduce((n, t) => n + t.proposed.length, 0);
    const saturated = data.targets
        .flatMap((t) => t.arms)
        .map((a) => a.saturation)
        .filter(Boolean);
    const files = data.coverage ? data.coverage.files : [];
    const lineSum = files.reduce((n, f) => n + f.lines, 0),
        hit = files.reduce((n, f) => n + f.reached, 0),
        branchSum = files.reduce((n, f) => n + f.branches[1], 0),
        branchHit = files.reduce((n, f) => n + f.branches[0], 0);
    const early = c ? Object.values(c.ended_early).reduce((n, x) => n + x, 0) : 0;
    const button = h("button.theme", {type: "button"}, "light / dark");
    button.addEventListener("click", () =>
        setTheme(root.dataset.theme === "dark" ? "light" : "dark"),
    );
    fill(document.getElementById("top"), [
        h(
            "div.wrap",
            h(
                "div.hero",
                h(
                    "div.grow",
                    h(
                        "h1",
                        c ? `The ${c.tool === "hunt" ? "hunt" : "night"} of ${c.date}` : "hakmem",
                    ),
                    h(
                        "p",
                        c
                            ? clock(c.hunted) +
                                  " of hunting" +
                                  (c.jobs ? `, ${c.jobs} at a time` : "") +
                                  (c.resumed
                                      ? `, resumed ${c.resumed === 1 ? "once" : `${c.resumed} times`}`
                                      : "") +
                                  `; commit ${c.commit}` +
                                  (c.machine ? `; ${c.machine}` : "")
                            : "",
                    ),
                ),
                button,
            ),
            h(
                `div.verdict.${v.kind}`,
                h("div.sign", v.sign),
                h("div", v.title, v.text && h("small", v.text)),
            ),
            h(
                "div.tiles",
                tile(
                    data.findings.length ? "bad" : "good",
                    "Findings",
                    data.findings.length,
                    `${data.duplicates} more inputs of the same classes`,
                ),
                data.canary
                    ? tile(
                          data.canary.found ? "good" : "bad",
                          "Canary",
                          data.canary.found ? "found" : "NOT FOUND",
                          `after ${short(data.canary.executions)} executions`,
                      )
                    : tile("warn", "Canary", "–", "not hunted"),
                tile(
                    !m.rows.length ? "warn" : killed < m.rows.length ? "bad" : "good",
                    "Mutants killed",
                    m.rows.length ? `${killed} / ${m.rows.length}` : "–",
                    `${m.named} are named in the table`,
                ),
                tile(
                    "",
                    "Random changes",
                    g.length ? percent(noticed, g.length) : "–",
                    g.length ? `${noticed} of ${g.length} noticed` : "make mutants-generated",
                ),
                tile(
                    data.orders.length ? "good" : "warn",
                    "Memory orders",
                    data.orders.length ? `${needed} / ${data.orders.length}` : "–",
                    "weakened one by one: a scenario falls",
                ),
                tile(
                    proven.length && proven.length === data.certificates.length
                        ? "good"
                        : data.certificates.length
                          ? "bad"
                          : "warn",
                    "Exhaustive scenarios",
                    data.certificates.length
                        ? `${proven.length} / ${data.certificates.length}`
                        : "–",
                    data.certificates.length
                        ? short(proven.reduce((n, x) => n + Number(x.executions), 0)) +
                              " executions, all of them"
                        : "make model",
                ),
                tile(
                    data.stress.length
                        ? passed.length === data.stress.length
                            ? "good"
                            : "bad"
                        : "warn",
                    "Stress loads passed",
                    data.stress.length ? `${passed.length} / ${data.stress.length}` : "–",
                    data.stress.length ? "on real threads" : "make stress",
                ),
                tile(
                    "",
                    "Executions",
                    c ? short(c.executions) : "–",
                    c ? `${c.slices} slices` : "",
                ),
                tile(
                    "",
                    "Least saturated",
                    saturated.length ? oneIn(Math.max(...saturated)) : "–",
                    "executions bring something new",
                ),
                tile(
                    "",
                    "Lines of src/ reached",
                    lineSum ? percent(hit, lineSum) : "–",
                    data.coverage
                        ? `by ${Object.keys(data.coverage.dates).join(" and ")}; ` +
                              `branches ${percent(branchHit, branchSum)}`
                        : "make coverage",
                ),
                tile(
                    early ? "warn" : "",
                    "Slices ended early",
                    c ? early : "–",
                    "hung, broken, too large, or no room",
                ),
                tile(
                    "",
                    "Seeds proposed",
                    proposed,
                    proposed ? "scripts/overnight accept" : "nothing to add to corpus/",
                ),
            ),
        ),
        h("nav", h("div.wrap", {id: "links"})),
    ]);
}
