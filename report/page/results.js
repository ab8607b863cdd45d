// results.js: lines of src/, mutants.

function coverage() {
    const files = [...data.coverage.files].sort(
        (a, b) => a.reached / a.lines - b.reached / b.lines,
    );
    const bar = (part, all) => {
        const p = all ? (100 * part) / all : 0;
        return h(
            "div.bar",
            {title: percent(part, all)},
            h(p >= 97 ? "i" : p >= 85 ? "i.mid" : "i.low", {style: `width:${p}%`}),
        );
    };
    const never = files.filter((f) => f.never.length);
    return [
        h(
            "div.card",
            table(
                [
                    "file",
                    {name: "lines", n: 1},
                    "reached",
                    "",
                    {name: "by tests", n: 1},
                    {name: "by corpora", n: 1},
                    {name: "branches (tests)", n: 1},
                ],
                files.map((f) =>
                    h(
                        "tr",
                        h("td.mono.small", f.name),
                        h("td.n", f.lines),
                        h("td", bar(f.reached, f.lines)),
                        h("td.n", percent(f.reached, f.lines)),
                        h("td.n", f.by.tests === undefined ? "–" : percent(f.by.tests, f.lines)),
                        h(
                            "td.n",
                            f.by.corpora === undefined ? "–" : percent(f.by.corpora, f.lines),
                        ),
                        h("td.n", f.branches[1] ? percent(f.branches[0], f.branches[1]) : "–"),
                    ),
                ),
            ),
        ),
        h(
            "div.card",
            h("h3", `Never reached: ${never.reduce((n, f) => n + f.lines - f.reached, 0)} lines`),
            never.length
                ? never.map((f) =>
                      h(
                          "details",
                          h("summary", `${f.name}: ${f.lines - f.reached} lines`),
                          table(
                              ["lines", "begins with"],
                              f.never.map((r) =>
                                  h(
                                      "tr",
                                      h("td.mono", [...new Set([r.from, r.to])].join("–")),
                                      h("td.wide", h("code", r.text)),
                                  ),
                              ),
                              ".never",
                          ),
                      ),
                  )
                : h("p.soft", "Every line is reached."),
        ),
    ];
}

const killerName = (k) =>
    k.replace(/ (sched-fuzz|fuzz-tsan|fuzz)-(small|default)$/, "").replace(/^model, /, "model: ");

function mutantMatrix() {
    const rows = data.mutants.rows;
    const columns = [
        ...new Set(rows.flatMap((r) => (r.verdicts || []).map((v) => killerName(v.killer)))),
    ].sort();
    return h(
        "div.scroll",
        h(
            "table.matrix",
            h(
                "thead",
                h(
                    "tr",
                    h("th", "bug put back"),
                    h("th", ""),
                    columns.map((c) => h("th.turn", h("span", c))),
                ),
            ),
            h(
                "tbody",
                rows.map((r) =>
                    h(
                        "tr",
                        h("td.mono", {title: r.revives}, r.name),
                        h(
                            "td",
                            r.broken
                                ? pill("bad", "broken")
                                : pill(r.killed ? "good" : "bad", r.killed ? "killed" : "LIVES"),
                        ),
                        columns.map((c) => {
                            const v = (r.verdicts || []).filter((x) => killerName(x.killer) === c);
                            if (!v.length) return h("td.cell");
                            const kill = v.find((x) => x.killed);
                            return h(
                                kill ? "td.cell.kill" : "td.cell.miss",
                                {
                                    title: kill
                                        ? `${kill.reason}; ${kill.seconds.toFixed(1)} s`
                                        : "survived",
                                },
                                kill
                                    ? kill.executions === null || kill.executions === undefined
                                        ? "✓"
                                        : short(kill.executions)
                                    : "✗",
                            );
                        }),
                    ),
                ),
            ),
        ),
    );
}
