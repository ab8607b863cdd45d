// percentiles.js: the percentiles of samples, by the HdrHistogram that is part of node.
//
// usage: node percentiles.js FILE...     each of 32-bit samples, little-endian
//
// Prints a JSON object: {"FILE": {"count":, "50":, "99":, "99.9":, "100":}, ...}
'use strict';
const fs = require('fs');
const { createHistogram } = require('perf_hooks');

const result = {};
for (const file of process.argv.slice(2)) {
    const bytes = fs.readFileSync(file);
    const histogram = createHistogram({ lowest: 1, highest: 2 ** 33, figures: 3 });
    for (let at = 0; at < bytes.length; at += 4)
        histogram.record(Math.max(bytes.readUInt32LE(at), 1));
    const found = { count: bytes.length / 4 };
    for (const percentile of [50, 99, 99.9, 100])
        found[percentile] = histogram.percentile(percentile);
    result[file] = found;
}
console.log(JSON.stringify(result));
