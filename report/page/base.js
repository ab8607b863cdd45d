// base.js: the data, and what all other files draw with. All files of the page share one scope.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;
const SVG = "http://www.w3.org/2000/svg";

// h("td.n", {title: "x"}, "text", child...)
function h(what, ...rest) {
    const [tag, ...classes] = what.split(".");
    const node = document.createElement(tag || "div");
    if (classes.length) node.className = classes.join(" ");
    return fill(node, rest);
}

function svg(tag, attributes, ...rest) {
    const node = document.createElementNS(SVG, tag);
    return fill(node, [attributes, ...rest]);
}

function fill(node, rest) {
    for (const item of rest.flat(4)) {
        if (item === null || item === undefined || item === false) continue;
        if (item instanceof Node) node.append(item);
        else if (typeof item === "object")
            for (const [name, value] of Object.entries(item)) node.setAttribute(name, value);
        else node.append(String(item));
    }
    return node;
}

function short(n) {
    if (n === null || n === undefined) return "–";
    for (const [unit, factor] of [
        ["G", 1e9],
        ["M", 1e6],
        ["k", 1e4],
    ])
        if (n >= factor)
            return (n / (unit === "k" ? 1e3 : factor)).toFixed(n >= 100 * factor ? 0 : 1) + unit;
    return Number.isInteger(n) ? String(n) : n.toFixed(1);
}

const pad = (n) => String(n).padStart(2, "0");

function clock(s) {
    if (s === null || s === undefined) return "–";
    s = Math.round(s);
    if (s >= 3600) return `${Math.floor(s / 3600)} h ${pad(Math.floor((s % 3600) / 60))} min`;
    return s >= 60 ? `${Math.floor(s / 60)} min ${pad(s % 60)} s` : `${s} s`;
}

const many = (n, one, more = one + "s") => `${n} ${n === 1 ? one : more}`;
const percent = (part, all) =>
    all ? ((100 * part) / all).toFixed(part === all ? 0 : 1) + " %" : "–";
const day = (t) =>
    t ? new Date(t * 1000).toISOString().slice(0, 16).replace("T", " ") + " UTC" : "–";
// 3.2e-5 as "1 in 31,000"
const oneIn = (p) => (p ? "1 in " + Math.round(1 / Math.min(1, p)).toLocaleString("en") : "–");
const color = (i) =>
    getComputedStyle(root)
        .getPropertyValue(`--c${i % 8}`)
        .trim();
const ink = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
const pill = (kind, text) => h(`span.pill.${kind}`, text);

function table(head, rows, kind = "") {
    return h(
        "div.scroll",
        h(
            "table" + kind,
            h(
                "thead",
                h(
                    "tr",
                    head.map((c) => h(c.n ? "th.n" : "th", c.name ?? c)),
                ),
            ),
            h("tbody", rows),
        ),
    );
}

function section(id, title, lead, ...body) {
    const empty = body.flat().every((b) => b === null || b === undefined || b === false);
    document
        .getElementById("main")
        .append(h("section", {id}, h("h2", title), lead && h("p.lead", lead), empty ? null : body));
    links.push([id, title]);
}
const links = [];
const missing = (text) => h("div.card.empty", text);
