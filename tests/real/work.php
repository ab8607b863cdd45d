<?php
// Work for php: arrays, strings, objects, generators, regular expressions, documents. Prints digests.

function words(int $seed, int $count): array
{
    mt_srand($seed);
    $found = [];
    for ($i = 0; $i < $count; $i++) {
        $word = '';
        for ($n = mt_rand(1, 20); $n > 0; $n--)
            $word .= chr(97 + mt_rand(0, 7));
        $found[] = $word;
    }
    return $found;
}

class Tree
{
    private ?Tree $left = null;
    private ?Tree $right = null;

    public function __construct(public string $key)
    {
    }

    public function add(string $key): void
    {
        $side = $key < $this->key ? 'left' : 'right';
        if ($this->$side === null)
            $this->$side = new Tree($key);
        else
            $this->$side->add($key);
    }

    public function keys(): Generator
    {
        if ($this->left)
            yield from $this->left->keys();
        yield $this->key;
        if ($this->right)
            yield from $this->right->keys();
    }
}

$words = words(1, 20000);
$tree = new Tree('dddd');
foreach (array_slice($words, 0, 8000) as $word)
    $tree->add($word);
echo md5(implode(' ', iterator_to_array($tree->keys(), false))), "\n";

$table = [];
foreach ($words as $i => $word)
    $table[substr($word, 0, 2)][] = [$word, $i];
ksort($table);
echo md5(serialize($table)), ' ', count(unserialize(serialize($table))), "\n";
echo md5(json_encode(json_decode(json_encode($table), true))), "\n";
echo preg_match_all('/\b(a[bc]+)(\w*?)d\b/', implode(' ', $words)), "\n";

$kept = [];
for ($i = 0; $i < 3000; $i++) {
    $kept[] = str_repeat(chr(65 + $i % 26), mt_rand(1, 100000));
    if (count($kept) > 30)
        array_splice($kept, mt_rand(0, 29), 1);
    $kept[0] .= str_repeat('x', 1000);
}
echo md5(implode('', $kept)), "\n";

// Circles, for the collector.
for ($i = 0; $i < 30000; $i++) {
    $a = new stdClass();
    $b = new stdClass();
    $a->other = $b;
    $b->other = $a;
}
unset($a, $b);
gc_collect_cycles();
echo "done\n";
