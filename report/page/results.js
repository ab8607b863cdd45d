// results.js: lines of src/, mutants, random changes.

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
                    {name: "branches", n: 1},
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
                              ["lines", "begins with", "why"],
                              f.never.map((r) =>
                                  h(
                                      "tr",
                                      h("td.mono", [...new Set([r.from, r.to])].join("–")),
                                      h("td.wide", h("code", r.text)),
                                      h("td.small.soft", r.why || "–"),
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

// Columns are kinds of killers; the cell's title names the one.
const kinds = [
    [/^unit\//, "unit test"],
    [/^api\//, "API test"],
    [/^misuse/, "wrong programs"],
    [/^wrong programs/, "users' tools"],
    [/^corpus of/, "kept corpus"],
    [/^(model,|racing)/, "every execution"],
];
const killerName = (k) =>
    (kinds.find(([pattern]) => pattern.test(k)) || [null, k.split(" ")[0]])[1];

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
                                        ? `${kill.killer}: ${kill.reason}; ` +
                                          `${kill.seconds.toFixed(1)} s`
                                        : `survived ${v.map((x) => x.killer).join(", ")}`,
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

function generatedTable() {
    const rows = data.generated,
        of = (verdict) => rows.filter((r) => r.verdict === verdict);
    const killed = of("killed").length,
        tried = killed + of("survived").length;
    const by = {};
    for (const r of of("killed")) by[killerName(r.killer)] = (by[killerName(r.killer)] || 0) + 1;
    const list = (title, chosen) =>
        chosen.length
            ? h(
                  "details",
                  h("summary", `${title}: ${chosen.length}`),
                  table(
                      ["where", "what", "was", "became", "why"],
                      chosen.map((r) =>
                          h(
                              "tr",
                              h("td.mono.small", `${r.file}:${r.line}`),
                              h("td", r.change),
                              h("td", h("code", r.before)),
                              h("td", h("code", r.after)),
                              h("td.small.soft", r.verdict === "killed" ? r.killer : r.reason),
                          ),
                      ),
                      ".never",
                  ),
              )
            : null;
    return h(
        "div.card",
        h("h3", `${killed} of ${tried} noticed (${percent(killed, tried)})`),
        h(
            "p.small.soft",
            Object.entries(by)
                .sort((a, b) => b[1] - a[1])
                .map(([name, n]) => `${name} ${n}`)
                .join(", "),
        ),
        list("Survived", of("survived")),
        list("Make no difference, as argued", of("equivalent")),
        list("Noticed", of("killed")),
    );
}
