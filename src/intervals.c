// intervals.c: exponential random numbers, and what a sample weighs.
//
// A sample is taken when the bytes since the last one exceed a random interval E. Intervals are
// exponential, so what is left of one that was not used up is distributed as a new one, and blocks
// are sampled independently of each other:
//
//   P(sampled) = P(E < n) = 1 - exp(-n / average)
//
// E is rounded down to whole bytes, which changes nothing: floor(E) < n if and only if E < n.
// Whatever is summed with 1 / P as weight is unbiased (D. Horvitz and D. Thompson, 1952).
#include "intervals.h"

#include "check.h"

#define INTERVAL_MAX ((double)((int64_t)1 << 60))

// SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

uint64_t hak_interval_seed(uint64_t seed, uint64_t index)
{
    return mix(mix(seed) + index);
}

// -ln(n / 2^53), n in 1 .. 2^53: n = m * 2^e, and ln m by the series of artanh((m - 1) / (m + 1)).
static double minus_log(uint64_t n)
{
    unsigned e = highest_bit(n);
    double m = (double)n / (double)((uint64_t)1 << e); // 1 <= m < 2
    double z = (m - 1) / (m + 1);                      // < 1/3
    double sum = 0, power = z;
    for (unsigned i = 1; i <= 33; i += 2, power *= z * z)
        sum += power / i;
    return (53 - (double)e) * 0.693147180559945309417 - 2 * sum;
}

int64_t hak_interval_next(uint64_t *state, uint64_t average)
{
    *state += 0x9e3779b97f4a7c15;
    uint64_t n = (mix(*state) >> 11) + 1;
    double interval = minus_log(n) * (double)average;
    return (int64_t)(interval < INTERVAL_MAX ? interval : INTERVAL_MAX);
}

double hak_interval_weight(size_t n, uint64_t average)
{
    double x = (double)n / (double)average;
    unsigned doublings = 0;
    if (x >= 64)
        return 1;
    while (x > 0.5) {
        x /= 2;
        doublings++;
    }
    // 1 - exp(-x) = x (1 - x/2 (1 - x/3 (...)))
    double rest = 1;
    for (unsigned i = 20; i >= 2; i--)
        rest = 1 - x / i * rest;
    double probability = x * rest;
    while (doublings-- > 0)
        probability *= 2 - probability; // of 2x: 1 - (1 - p)^2
    return 1 / probability;
}
