// findings.js: what was found, its time line drawn as lanes.

function lanes(rows) {
    const threads = Math.max(...rows.map((r) => r[2])) + 1;
    const left = 58,
        wide = 285,
        high = 24,
        gap = 10,
        where = 150;
    const width = left + threads * (wide + gap) + where,
        height = 34 + rows.length * high;
    const image = svg("svg", {width, height, viewBox: `0 0 ${width} ${height}`});
    for (let t = 0; t < threads; t++)
        image.append(
            svg("rect", {
                class: "lane",
                x: left + t * (wide + gap),
                y: 24,
                width: wide,
                height: height - 24,
                rx: 6,
            }),
            svg("text", {class: "op", x: left + t * (wide + gap) + 8, y: 16}, `thread ${t}`),
        );
    rows.forEach(([step, preempted, thread, what, place], i) => {
        const x = left + thread * (wide + gap),
            y = 30 + i * high,
            last = i === rows.length - 1;
        const before = i ? rows[i - 1][2] : thread;
        if (before !== thread) {
            const from = left + before * (wide + gap) + wide / 2,
                to = x + wide / 2;
            image.append(
                svg("path", {
                    d: `M${from} ${y - 4} C${from} ${y + 6} ${to} ${y - 12} ${to} ${y}`,
                }),
            );
        }
        const op = what.startsWith("== ");
        const label = op ? what.slice(3) : what;
        if (!op)
            image.append(
                svg("rect", {
                    class:
                        `step t${thread % 4}` +
                        (last ? " last" : "") +
                        (what.includes("STALE") ? " stale" : ""),
                    x: x + 4,
                    y,
                    width: wide - 8,
                    height: high - 5,
                    rx: 4,
                }),
            );
        image.append(
            svg(
                "text",
                {class: op ? "op" : "", x: x + 12, y: y + 13},
                label.length > 40 ? label.slice(0, 39) + "…" : label,
                svg("title", {}, what),
            ),
            svg("text", {class: "soft", x: 4, y: y + 13}, `${step}${preempted ? " ⇄" : ""}`),
            svg("text", {class: "soft", x: left + threads * (wide + gap) + 4, y: y + 13}, place),
        );
    });
    return h("div.lanes", image);
}

function finding(f) {
    return h(
        "div.card.finding",
        h("h3", f.class.fault),
        h(
            "p.small.soft",
            `${f.target}, by ${f.arm}, ${f.found}; `,
            `${f.inputs} ${f.inputs === 1 ? "input" : "inputs"} of this class; `,
            f.class.sites.length
                ? ["where: ", h("code", f.class.sites.join("  ×  "))]
                : "no two sites are known",
        ),
        h(
            "p",
            pill(
                f.repeats ? "bad" : "warn",
                f.repeats ? "repeats" : f.replayed === false ? "not replayed" : "did not repeat",
            ),
            " ",
            pill(f.minimised ? "good" : "", f.minimised ? "minimised" : "as found"),
        ),
        h("code.command", f.command),
        f.said.length ? h("pre", f.said.join("\n")) : null,
        f.rows.length
            ? [
                  f.rows_left_out
                      ? h("p.small.soft", `${f.rows_left_out} earlier steps are left out`)
                      : null,
                  lanes(f.rows),
              ]
            : h("pre", f.text),
    );
}
