// charts.js: curves by Chart.js, drawn anew when the theme changes.

const charts = [];

function chart(make, kind = "") {
    const canvas = h("canvas", {role: "img"});
    charts.push({canvas, make, drawn: null});
    return h("div.plot" + kind, canvas);
}

function drawAll() {
    for (const c of charts) {
        if (c.drawn) c.drawn.destroy();
        c.drawn = new Chart(c.canvas, c.make());
    }
}

function lines(series, {log = false, unit = "", x = clock, min, over} = {}) {
    const grid = {color: ink("faint")},
        ticks = {color: ink("soft"), font: {size: 10}};
    // All targets share one axis: what runs late begins late.
    const end = Math.max(over ?? 0, ...series.flatMap((s) => s.points.map((p) => p[0])), 1);
    const step =
        [5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200].find((s) => end / s <= 7) ?? 14400;
    return {
        type: "line",
        data: {
            datasets: series.map((s, i) => ({
                label: s.name,
                data: s.points.map(([px, py]) => ({x: px, y: py})),
                borderColor: color(s.color ?? i),
                backgroundColor: color(s.color ?? i),
                borderWidth: 1.6,
                pointRadius: s.points.length < 3 ? 2.5 : 0,
                pointHitRadius: 8,
                tension: 0,
                stepped: s.stepped || false,
            })),
        },
        options: {
            animation: false,
            responsive: true,
            maintainAspectRatio: false,
            normalized: true,
            interaction: {mode: "nearest", intersect: false},
            plugins: {
                legend: {display: false},
                tooltip: {
                    callbacks: {
                        title: (items) => (items.length ? x(items[0].parsed.x) : ""),
                        label: (item) =>
                            item.dataset.label +
                            ": " +
                            (log ? item.parsed.y.toExponential(1) : short(item.parsed.y)) +
                            unit,
                    },
                },
            },
            scales: {
                x: {
                    type: "linear",
                    min: 0,
                    max: end,
                    afterBuildTicks: (axis) => {
                        axis.ticks = [];
                        for (let v = 0; v <= end; v += step) axis.ticks.push({value: v});
                    },
                    grid,
                    ticks: {
                        ...ticks,
                        callback: (v) =>
                            step < 60 ? `${v}s` : step < 3600 ? `${v / 60}m` : `${v / 3600}h`,
                    },
                },
                y: {
                    type: log ? "logarithmic" : "linear",
                    beginAtZero: !log,
                    min,
                    grid,
                    ticks: {
                        ...ticks,
                        maxTicksLimit: 5,
                        callback: (v) =>
                            log ? (Math.log10(v) % 1 === 0 ? v.toExponential(0) : "") : short(v),
                    },
                },
            },
        },
    };
}

const legend = (names) =>
    h(
        "div.legend",
        names.map((n, i) => h("span", h("i", {style: `background:var(--c${i % 8})`}), n)),
    );
