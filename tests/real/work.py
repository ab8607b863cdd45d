# Work for python3: containers, strings, regular expressions, numbers, threads, processes, and
# libraries that allocate on their own. Prints digests only; the same on each run.
import collections
import concurrent.futures
import decimal
import hashlib
import itertools
import json
import random
import re
import subprocess
import sys
import zlib


def digest(value):
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def words(seed, count):
    rng = random.Random(seed)
    return ["".join(rng.choices("abcdefgh", k=rng.randrange(1, 30))) for _ in range(count)]


def containers(seed):
    text = words(seed, 20000)
    counts = collections.Counter(text)
    tree = collections.defaultdict(list)
    for word in text:
        tree[word[:2]].append(word)
    for key in sorted(tree)[::2]:
        del tree[key]
    return digest((sorted(counts.items())[:500], sorted(tree.items())))


def documents(seed):
    data = [{"id": i, "name": w, "tags": [w] * (i % 7)} for i, w in enumerate(words(seed, 5000))]
    packed = zlib.compress(json.dumps(data).encode(), 6)
    return digest(json.loads(zlib.decompress(packed))[-100:])


def buffers(seed):
    rng = random.Random(seed)
    kept = []
    for _ in range(3000):
        kept.append(bytearray(rng.randrange(1, 300000)))
        if len(kept) > 40:
            kept.pop(rng.randrange(len(kept)))
        grown = kept[rng.randrange(len(kept))]
        grown.extend(b"x" * rng.randrange(5000))
    return digest([len(b) for b in kept])


def numbers():
    decimal.getcontext().prec = 300
    return digest((2 ** 20000 // 3 ** 5000, decimal.Decimal(2).sqrt(), sum(
        a * b for a, b in itertools.combinations(range(300), 2))))


def main():
    print("containers", containers(1))
    print("documents", documents(2))
    print("buffers", buffers(3))
    print("numbers", numbers())
    text = " ".join(words(4, 30000))
    print("regular", digest(re.findall(r"\b(a[b-d]+)(\w*)e\b", text)))
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        print("threads", digest(list(pool.map(containers, range(8)))))
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        print("processes", digest(list(pool.map(documents, range(4)))))
    child = subprocess.run([sys.executable, "-c", "print(sum(range(10**5)))"],
                           capture_output=True, text=True, check=True)
    print("child", child.stdout.strip())


if __name__ == "__main__":
    main()
