// page.js: puts the sections together; without data of a kind its section says what makes it.

function setTheme(theme) {
    root.dataset.theme = theme;
    drawAll();
}

function build() {
    top();
    section(
        "findings",
        "Findings",
        data.findings.length
            ? "A class each: what was said without numbers, and the two places " +
                  "that met. Time runs downwards; a dashed line is a switch of " +
                  "threads, ⇄ a preemption, yellow a stale read, red the step that " +
                  "failed."
            : "None. What a finding would look like: its class, the command that " +
                  "shows it again, and its time line with a lane per thread.",
        data.findings.map(finding),
    );
    section(
        "targets",
        "Targets",
        "Executions of all engines together; edges as the compiler counts them; " +
            "reads-from pairs are (load, store it read). Saturation is " +
            "Good–Turing's estimate: features seen in exactly one of the " +
            "executions, divided by these.",
        data.targets.length
            ? [
                  h(
                      "div.card",
                      table(
                          [
                              "target",
                              {name: "executions", n: 1},
                              {name: "per s", n: 1},
                              {name: "edges", n: 1},
                              {name: "pairs", n: 1},
                              {name: "since last new", n: 1},
                              {name: "next new: chance", n: 1},
                              {name: "corpus, cut", n: 1},
                              {name: "seeds proposed", n: 1},
                          ],
                          targetRows(),
                      ),
                  ),
                  h("div.grid", {style: "margin-top:.8rem"}, data.targets.map(targetCard)),
                  h("div.card", {style: "margin-top:.8rem"}, data.targets.map(armTable)),
              ]
            : missing("No target was hunted."),
    );
    section(
        "reads",
        "Reads-from coverage",
        "Which load (row) read which store (column), over the kept corpora on " +
            "every build of the scheduler; darker is more often.",
        Object.keys(data.pairs).length
            ? h("div.card", heat())
            : missing("Measured at the end of a campaign that walks the scheduler's targets."),
    );
    section(
        "lines",
        "Lines of src/",
        data.coverage
            ? `Measured: ${Object.entries(data.coverage.dates)
                  .map(([k, v]) => `${k} ${v}`)
                  .join(", ")}.`
            : "",
        data.coverage
            ? coverage()
            : missing("make coverage measures it."),
    );
    section(
        "mutants",
        "Mutants",
        "Each bug that was put back, and what killed it: executions until then, " +
            "or ✓ where a test or a scenario did. Empty: not tried, because another " +
            "one killed it before.",
        data.mutants.rows.length
            ? h(
                  "div.card",
                  mutantMatrix(),
                  data.mutants.untried.length
                      ? h(
                            "details",
                            h("summary", `Not tried: ${data.mutants.untried.length}`),
                            h("p.small.soft", data.mutants.untried.join(", ")),
                        )
                      : null,
              )
            : missing("make mutants, or a campaign that is long enough."),
    );
    section(
        "generated",
        "Random changes",
        "Conditions negated, bounds and numbers off by one, calls and assignments dropped, at " +
            "random places of src/: what share do tests, corpora and a short hunt notice?",
        data.generated.length
            ? generatedTable()
            : missing("make mutants-generated, or a campaign that is long enough."),
    );
    section(
        "orders",
        "Memory orders",
        "Each order of src/ made relaxed, alone: the scenario that falls, and " +
            "after how many executions.",
        data.orders.length
            ? h(
                  "div.card",
                  table(
                      ["site", "falls in", {name: "after", n: 1}, "strategy", "what it is for"],
                      data.orders.map((o) =>
                          h(
                              "tr",
                              h("td.mono.small", o.site),
                              h(
                                  "td",
                                  o.killed
                                      ? o.scenario
                                      : pill(
                                            "warn",
                                            `${o.scenario || "survives"}: see CONCURRENCY.md`,
                                        ),
                              ),
                              h("td.n", o.killed ? o.executions || "–" : ""),
                              h("td", o.strategy || ""),
                              h("td.small.soft", data.sites[o.site.split("-")[0]] || ""),
                          ),
                      ),
                  ),
              )
            : missing("make orders, or a campaign that is long enough."),
    );
    section(
        "certificates",
        "Exhaustive certificates",
        "Every execution within the bound was run: every schedule, and every " +
            "value that a load may return.",
        data.certificates.length
            ? h(
                  "div.card",
                  table(
                      [
                          "scenario",
                          "what the threads do",
                          {name: "threads", n: 1},
                          {name: "preemptions", n: 1},
                          {name: "executions", n: 1},
                          {name: "longest", n: 1},
                          {name: "seconds", n: 1},
                          "",
                      ],
                      data.certificates.map((c) =>
                          h(
                              "tr",
                              h("td.name", c.name),
                              h("td", c.what),
                              h("td.n", c.threads),
                              h("td.n", c.bound),
                              h("td.n", Number(c.executions).toLocaleString("en")),
                              h("td.n", c.steps),
                              h("td.n", c.seconds),
                              h(
                                  "td",
                                  pill(
                                      c.verdict === "ok" ? "good" : "bad",
                                      c.verdict === "ok" ? "complete" : c.verdict,
                                  ),
                              ),
                          ),
                      ),
                  ),
              )
            : missing("make model, or a campaign."),
    );
    section(
        "stress",
        "Stress",
        "Loads on real threads under ThreadSanitizer; soak in release, its memory sampled.",
        data.stress.length || data.soak.length
            ? h(
                  "div.grid",
                  data.stress.length
                      ? h(
                            "div.card",
                            table(
                                ["load", "build", "", "what it said"],
                                data.stress.map((s) =>
                                    h(
                                        "tr",
                                        h("td.name", s.load),
                                        h("td", s.flavour),
                                        h(
                                            "td",
                                            pill(
                                                s.passed ? "good" : "bad",
                                                s.passed ? "passed" : "FAILED",
                                            ),
                                        ),
                                        h("td.small.soft", s.said),
                                    ),
                                ),
                            ),
                        )
                      : null,
                  data.soak.length
                      ? h(
                            "div.card",
                            h("h3", "soak: memory, MiB"),
                            chart(
                                () =>
                                    lines(
                                        ["RSS", "live", "committed"].map((name, i) => ({
                                            name,
                                            points: data.soak.map((r) => [
                                                r[0],
                                                r[i + 1] / 1048576,
                                            ]),
                                        })),
                                        {unit: " MiB"},
                                    ),
                                ".tall",
                            ),
                            legend(["RSS", "live", "committed"]),
                        )
                      : null,
              )
            : missing("No load was run."),
    );
    section(
        "bench",
        "Against other allocators",
        data.bench
            ? `${data.bench.subject} / peer, wall clock; below 1 is less. ` +
                  `${data.bench.machine.date ?? ""}, ${data.bench.machine.machine ?? ""}`
            : "",
        data.bench ? bench() : missing("make bench measures it."),
    );
    section(
        "past",
        "Earlier nights",
        "",
        data.history.length
            ? h(
                  "div.card",
                  table(
                      [
                          "night",
                          "commit",
                          {name: "hunted", n: 1},
                          {name: "executions", n: 1},
                          {name: "edges", n: 1},
                          {name: "findings", n: 1},
                      ],
                      data.history.map((p) =>
                          h(
                              "tr",
                              h("td.name", p.date),
                              h("td.mono.small", p.commit),
                              h("td.n", clock(p.hunted)),
                              h("td.n", short(p.executions)),
                              h("td.n", p.coverage),
                              h("td.n", p.findings),
                          ),
                      ),
                  ),
              )
            : missing("This is the first."),
        hunt(),
    );
    fill(
        document.getElementById("links"),
        links.map(([id, title]) => h("a", {href: `#${id}`}, title)),
    );
    fill(document.getElementById("foot"), [
        h(
            "p",
            `Made ${day(data.made)} from commit ${data.commit}. `,
            data.campaign
                ? `Begun ${day(data.campaign.begun)}, last line ${day(data.campaign.last)}. `
                : "",
            data.notes.map((n) => `At ${clock(n.used)}: ${n.text}. `),
        ),
    ]);
}

function hunt() {
    if (!data.hunt) return null;
    return h(
        "div.card",
        h("h3", `The last make hunt, ${data.hunt.date}`),
        h(
            "p.small.soft",
            `${clock(data.hunt.hunted)}, ${short(data.hunt.executions)} executions; canary `,
            data.hunt.canary && data.hunt.canary.found ? "found" : "not found",
        ),
    );
}

function bench() {
    const rows = data.bench.rows,
        peers = [...new Set(rows.flatMap((r) => Object.keys(r.ratios)))];
    return [
        h(
            "div.card",
            chart(() => {
                const ticks = {color: ink("soft"), font: {size: 10}},
                    grid = {color: ink("faint")};
                return {
                    type: "bar",
                    data: {
                        labels: rows.map((r) => r.name),
                        datasets: peers.map((p, i) => ({
                            label: p,
                            data: rows.map((r) => r.ratios[p] ?? null),
                            backgroundColor: color(i),
                            barPercentage: 0.9,
                        })),
                    },
                    options: {
                        animation: false,
                        responsive: true,
                        maintainAspectRatio: false,
                        plugins: {legend: {display: false}},
                        scales: {
                            x: {ticks, grid},
                            y: {
                                type: "logarithmic",
                                ticks: {
                                    ...ticks,
                                    callback: (v) =>
                                        [0.1, 0.2, 0.5, 1, 2, 5].includes(v) ? v : "",
                                },
                                grid,
                            },
                        },
                    },
                };
            }, ".tall"),
            legend(peers),
        ),
        h(
            "div.card",
            table(
                ["geometric mean of", ...peers.map((p) => ({name: p, n: 1}))],
                ["seconds", "rss_kb"].map((m) =>
                    h(
                        "tr",
                        h("td.name", m === "seconds" ? "time" : "peak RSS"),
                        peers.map((p) =>
                            h(
                                "td.n",
                                data.bench.means[p] ? data.bench.means[p][m].toFixed(3) : "–",
                            ),
                        ),
                    ),
                ),
            ),
        ),
    ];
}

const dark = matchMedia("(prefers-color-scheme: dark)");
root.dataset.theme = dark.matches ? "dark" : "light";
build();
drawAll();
// A time line is read from where it failed.
for (const lane of document.querySelectorAll(".lanes")) lane.scrollTop = lane.scrollHeight;
dark.addEventListener("change", (e) => setTheme(e.matches ? "dark" : "light"));
root.dataset.ready = "yes";
