// targets.js: targets over time, their arms, and which store each load read.

const hunted = data.campaign ? data.campaign.hunted : 0;
// What was reached stays reached while other arms run.
const held = (s) => ({...s, points: [...s.points, [hunted, s.points.at(-1)[1]]]});
const armLabel = (a) => a.name.replace(/fuzz_\w+ ?/, "").trim();

function targetCard(t) {
    const curves = t.arms.filter((a) => a.curves.features.length || a.curves.coverage.length);
    const pick = (key, other) =>
        curves
            .map((a, i) => ({
                name: armLabel(a),
                color: i,
                points: a.curves[key].length ? a.curves[key] : other ? a.curves[other] : [],
            }))
            .filter((s) => s.points.length);
    const saturation = pick("saturation"),
        rate = pick("rate");
    const newest = Math.min(...t.arms.map((a) => a.saturation).filter(Boolean));
    return h(
        "div.card",
        h(
            "div.target-head",
            h("h3", t.name),
            h(
                "span.facts",
                `${short(t.executions)} executions · ${clock(t.took)}`,
                t.pairs ? ` · ${t.pairs} reads-from pairs` : "",
                Number.isFinite(newest) ? ` · new: ${oneIn(newest)}` : "",
            ),
        ),
        h(
            "div.plots",
            h("div.plot-name", "features (libFuzzer, walks), edges (AFL++)"),
            chart(() => lines(pick("features", "coverage").map(held), {over: hunted})),
            rate.length
                ? [
                      h("div.plot-name", "executions per second"),
                      chart(() => lines(rate, {over: hunted}), ".low"),
                  ]
                : null,
            saturation.length
                ? [
                      h(
                          "div.plot-name",
                          "chance that the next execution shows something new, at most",
                      ),
                      chart(() => lines(saturation, {log: true, over: hunted}), ".low"),
                  ]
                : null,
        ),
        legend(curves.map(armLabel)),
    );
}

function targetRows() {
    const now = data.campaign ? data.campaign.last : data.made;
    return data.targets.map((t) => {
        const arms = t.arms.filter((a) => a.saturation);
        const worst = Math.max(...arms.map((a) => a.saturation));
        const rate = t.took ? t.executions / t.took : null;
        return h(
            "tr",
            h("td.name", h("a", {href: `#arms-${t.name}`}, t.name)),
            h("td.n", short(t.executions)),
            h("td.n", short(rate)),
            h("td.n", t.coverage || "–"),
            h("td.n", t.pairs || "–"),
            h("td.n", t.last_new_at ? clock(Math.max(0, now - t.last_new_at)) : "–"),
            h("td.n", arms.length ? oneIn(worst) : "–"),
            h("td.n", t.cover ? `${t.cover.before} → ${t.cover.after}` : "–"),
            h("td.n", t.proposed.length || "–"),
        );
    });
}

function armTable(t) {
    return h(
        "details",
        {id: `arms-${t.name}`},
        h("summary", `${t.name}: ${t.arms.length} arms`),
        table(
            [
                "arm",
                {name: "slices", n: 1},
                {name: "time", n: 1},
                {name: "executions", n: 1},
                {name: "per s", n: 1},
                {name: "edges", n: 1},
                {name: "features", n: 1},
                {name: "seen once", n: 1},
                {name: "new", n: 1},
                "stability",
                {name: "to corpus", n: 1},
                {name: "bad", n: 1},
            ],
            t.arms.map((a) =>
                h(
                    "tr",
                    h("td.mono", a.name),
                    h("td.n", a.slices),
                    h("td.n", clock(a.took)),
                    h("td.n", short(a.executions)),
                    h("td.n", short(a.took ? a.executions / a.took : null)),
                    h("td.n", a.coverage ?? "–"),
                    h("td.n", a.features ?? "–"),
                    h("td.n", a.singles ?? "–"),
                    h("td.n", a.saturation ? oneIn(a.saturation) : "–"),
                    h("td", a.stability || ""),
                    h("td.n", a.added || "–"),
                    h("td.n", a.bad ? pill("warn", a.bad) : ""),
                ),
            ),
        ),
    );
}

function heat() {
    const loads = Object.keys(data.pairs).sort();
    const stores = [...new Set(loads.flatMap((l) => Object.keys(data.pairs[l])))].sort();
    const size = 11,
        left = 190,
        up = 150;
    const most = Math.log(
        1 + Math.max(...loads.flatMap((l) => Object.values(data.pairs[l]).map((c) => c.count))),
    );
    const width = left + stores.length * size + 80,
        height = up + loads.length * size + 4;
    const image = svg("svg", {class: "heat", width, height, viewBox: `0 0 ${width} ${height}`});
    stores.forEach((s, j) =>
        image.append(
            svg("text", {transform: `translate(${left + j * size + 8} ${up - 5}) rotate(-60)`}, s),
        ),
    );
    loads.forEach((l, i) => {
        image.append(svg("text", {x: left - 5, y: up + i * size + 9, "text-anchor": "end"}, l));
        stores.forEach((s, j) => {
            const cell = data.pairs[l][s];
            if (!cell) return;
            image.append(
                svg(
                    "rect",
                    {
                        class: "on",
                        x: left + j * size,
                        y: up + i * size,
                        width: size - 1,
                        height: size - 1,
                        rx: 2,
                        opacity: (0.25 + (0.75 * Math.log(1 + cell.count)) / most).toFixed(2),
                    },
                    svg(
                        "title",
                        {},
                        `${l} reads ${s}: ${cell.count} executions (${cell.targets.join(", ")})`,
                    ),
                ),
            );
        });
    });
    return h("div.scroll", image);
}
