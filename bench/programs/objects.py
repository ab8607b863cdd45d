"""What python3 is given when a whole-program run measures it: many small objects of all ages.

Run with PYTHONMALLOC=malloc, or the interpreter's own allocator serves everything below 512 bytes.
"""

import json
import random

random.seed(1)


def tree(depth):
    if depth == 0:
        return str(random.random())
    return {"left": tree(depth - 1), "right": tree(depth - 1), "items": list(range(depth))}


def words(count):
    return ["w%d" % random.randrange(count) for _ in range(count)]


kept = []
total = 0
for i in range(12):
    text = json.dumps(tree(11))
    kept.append(json.loads(text))
    counts = {}
    for word in words(40000):
        counts[word] = counts.get(word, 0) + 1
    total += len(text) + len(counts) + len("".join(sorted(counts)))
    if len(kept) > 3:
        kept.pop(random.randrange(len(kept)))
print(total)
