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

function lines(series, {log = false, unit = "", x = clock, min} = {}) {
    const grid = {color: ink("faint")},
        ticks = {color: ink("soft"), font: {size: 10}};
    const end = Math.max(...series.flatMap((s) => s.points.map((p) => p[0])), 1);
    const hours = end > 5400;
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
                    grid,
                    ticks: {
                        ...ticks,
                        maxTicksLimit: 7,
                        callback: (v) =>
                            hours ? `${(v / 3600).toFixed(1)}h` : `${Math.round(v / 60)}m`,
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
