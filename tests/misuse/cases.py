"""The wrong programs of this folder: what each is run with, and how it must end in which library.

A rule says (mitigations, tiers, verdict), and the first one that fits holds: the library has one of
the mitigations (bits of src/config.h), and none of those that follow in a pair, or 0 is said; the
block is of one of the tiers. A verdict is
  a text      the program ends with SIGABRT and exactly the line "hakmem: " + text on standard error
  SEGV        it is stopped by the kernel, and says nothing
  LIVES       it comes to its end, exit status 0, and says nothing: the mistake is not found, or it
              is none, or it has no effect, as the program says
  SEEN        exit status 5: the mistake had the effect that the program looks for
  MEASURED    depends on where blocks lie: `make misuse-table` measures it, nothing is demanded
%p in a text is the pointer that the program named last, %t its block as the library describes it,
%x any bytes.
"""
import collections

(STATE, POINTERS, ZERO, CANARY, QUARANTINE, RANDOM, GUARDS, SEAL, EMPTY, SWEEP,
 TYPES) = (1 << i for i in range(11))
BITS = {'state': STATE, 'pointers': POINTERS, 'zero': ZERO, 'canary': CANARY,
        'quarantine': QUARANTINE, 'random': RANDOM, 'guards': GUARDS, 'read-only data': SEAL,
        'size 0': EMPTY, 'sweep': SWEEP, 'types': TYPES}
ALL = sum(BITS.values())
TIERS = (8, 4096, 262144, 8388608)
SIZES = (8, 100, 4096, 200000, 262144, 700000, 1048576, 8388608)
CLASS_MAX, LARGE_MAX = 256 << 10, 1 << 20
SEGV, LIVES, SEEN, MEASURED = 'SEGV', 'LIVES', 'SEEN', 'MEASURED'
CLASS, LARGE, HUGE = 'class', 'large', 'huge'
BIG = LARGE + HUGE
ANY = CLASS + BIG

# group and name: of the row in the table, or '' if it is in none. probe: exit status 5 means that
# the mistake had an effect, and 0 that it had none.
Case = collections.namedtuple('Case', 'group name program arguments sizes rules probe')


def tier(size, bits):
    """Of the block that a request of so many bytes gets: its tier, and how messages name it."""
    size = max(size, 1) + (8 if bits & CANARY else 0)
    if size > CLASS_MAX:
        size -= 8 if bits & CANARY else 0
        kind = LARGE if size <= LARGE_MAX else HUGE
        return kind, '(%s)' % kind
    if size <= 128:
        index, block = -(-size // 16), -(-size // 16) * 16
    else:
        doubling = (size - 1).bit_length() - 8  # (128, 256] is 0
        step = 32 << doubling
        steps = -(-(size - (128 << doubling)) // step)
        index, block = 8 + 4 * doubling + steps, (128 << doubling) + steps * step
    return CLASS, '(class %d, %d bytes)' % (index, block)


def verdict(case, size, bits):
    """What must come of a case in a library with these mitigations."""
    kind, text = tier(size, bits)
    for needed, kinds, what in case.rules:
        has, lacks = needed if isinstance(needed, tuple) else (needed, 0)
        if kind in kinds and (has == 0 or bits & has) and not bits & lacks:
            return what.replace('%t', text)
    raise ValueError('no rule for %s' % (case,))


def cases():
    """All of them."""
    made = []

    def add(group, name, program, *rules, arguments=('SIZE',), sizes=TIERS, probe=False):
        made.append(Case(group, name, program, arguments, sizes, rules, probe))

    add_double_frees(add)
    add_invalid_frees(add)
    add_accesses(add)
    add_others(add)
    return made


def add_double_frees(add):
    second = 'double free of %p %t'
    group = 'double free'
    # Without the state it is told when the cache is flushed: a slow machine's clock may do that.
    add(group, 'at once', 'double_free_at_once', (STATE, CLASS, second), (0, CLASS, MEASURED),
        (0, BIG, second), sizes=SIZES)
    # A large block's units may serve the other thread's start before the second free.
    add(group, 'by another thread, at once', 'double_free_at_once_thread', (STATE, CLASS, second),
        (0, CLASS, MEASURED), (QUARANTINE, BIG, second), (0, BIG, MEASURED), sizes=SIZES)
    add(group, 'of a block handed out again', 'double_free_reuse', (0, ANY, MEASURED), probe=True)
    for name, program in (('and the cache is flushed', 'double_free'),
                          ('interleaved', 'double_free_interleaved'),
                          ('delayed', 'double_free_delayed'),
                          ('of memory given back', 'double_free_released'),
                          ('by another thread, then by the first', 'double_free_thread'),
                          ('by two other threads', 'double_free_two_threads'),
                          ('racing', 'double_free_race')):
        add(group, name, program, (0, ANY, second), sizes=SIZES)


def add_invalid_frees(add):
    group = 'invalid free'
    foreign = 'free of foreign pointer %p (no block)'
    for where, name in enumerate(('of the stack', 'of static data', 'of another mapping', 'of code',
                                  'of a low address', 'of a high address')):
        add(group, name, 'free_other', (POINTERS, ANY, foreign), (0, ANY, LIVES),
            arguments=(str(where),), sizes=(0,))
    add('', '', 'free_foreign', (POINTERS, ANY, foreign), (0, ANY, LIVES), arguments=(), sizes=(0,))
    inside = 'invalid %s of %%p %%t'
    for size, offsets in ((8, (8, 1)), (100, (16, 111)), (4096, (16, 4095)), (200000, (65536,)),
                          (262144, (4096,)), (700000, (16, 65536, 131088)),
                          (8388608, (65536, 2097152, 8388600))):
        for offset in offsets:
            for program, what in (('free_interior', 'free'), ('free_interior_thread', 'free'),
                                  ('realloc_interior', 'realloc'),
                                  ('usable_size_interior', 'malloc_usable_size')):
                add('', '', program, (0, ANY, inside % what), sizes=(size,),
                    arguments=('SIZE', str(offset)))
    for offset, name in (1, 'unaligned'), (8, 'inside of the block'):
        add(group, name, 'free_interior', (0, ANY, inside % 'free'),
            arguments=('SIZE', str(offset)))
    for distance in '0x4000000', '0x40000000', '0x4000001':
        add(group if distance == '0x40000000' else '', 'far away (1 GiB)', 'free_never_allocated',
            (0, ANY, 'free of never allocated %p (no block)'), arguments=(distance,), sizes=(0,))
    for size, blocks in (100, '500'), (8, '4000'):
        # In a random order what lies behind may have been looked at, which only the state knows.
        add('', '', 'free_never_handed_out', ((RANDOM, STATE), ANY, MEASURED),
            (0, ANY, 'free of never allocated %p %t'), arguments=('SIZE', blocks), sizes=(size,))
    for size in 8, 100:
        add('', '', 'free_neighbour',
            (STATE | POINTERS | ZERO | CANARY | SWEEP, ANY, 'free of never allocated %p %t'),
            (0, ANY, LIVES), sizes=(size,))
    for which, name in enumerate(('just below the arena', 'the last bytes of the arena',
                                  'just behind the arena')):
        rules = ((POINTERS, ANY, foreign), (0, ANY, LIVES)) if which != 1 else \
            ((0, ANY, 'free of never allocated %p (no block)'),)
        if which == 0:  # blocks of size 0 may lie there
            rules = (EMPTY, ANY, MEASURED), *rules
        add('', name, 'free_edge', *rules, arguments=(str(which),), sizes=(0,))
    for where in '0', '1', '2':
        add('', '', 'realloc_foreign', (0, ANY, 'realloc of foreign pointer %p (no block)'),
            arguments=(where,), sizes=(0,))
        add('', '', 'usable_size_foreign',
            (0, ANY, 'malloc_usable_size of foreign pointer %p (no block)'), arguments=(where,),
            sizes=(0,))
    add('realloc', 'of a freed block, at once', 'realloc_freed_at_once',
        (STATE, CLASS, 'invalid realloc of %p %t'), (0, CLASS, MEASURED),
        (QUARANTINE, BIG, 'invalid realloc of %p %t'), (0, BIG, MEASURED),
        sizes=(8, 100, 4096, 200000, 262144, 700000, 8388608))
    add('realloc', 'of memory given back', 'realloc_freed',
        (0, ANY, 'invalid realloc of %p (no block)'))
    add('', '', 'usable_size_freed', (STATE, CLASS, 'invalid malloc_usable_size of %p %t'),
        (0, CLASS, MEASURED), (QUARANTINE, BIG, 'invalid malloc_usable_size of %p %t'),
        (0, BIG, MEASURED), sizes=(8, 100, 4096, 200000))


def add_accesses(add):
    for offset in '0', '7':
        add('after free' if offset == '0' else '', 'write', 'write_after_free',
            (ZERO, CLASS, 'write after free of %%p %%t at byte %s: 00, now 42' % offset),
            (SWEEP, CLASS, MEASURED), (QUARANTINE, BIG, SEGV), (0, ANY, LIVES),
            arguments=('SIZE', offset),
            sizes=(8, 100, 4096, 200000, 262144, 8388608))
    add('after free', 'write, and nobody asks for the block', 'write_after_free_swept',
        (SWEEP, CLASS, 'write after free of %p %t at byte 0: 00, now 42'), (QUARANTINE, BIG, SEGV),
        (0, ANY, LIVES))
    add('after free', 'write, block handed out again', 'write_after_free_reuse', (0, ANY, MEASURED),
        probe=True)
    add('after free', 'read what was in it', 'read_after_free', (ZERO | SWEEP, CLASS, LIVES),
        (QUARANTINE, BIG, SEGV), (0, CLASS, SEEN), (0, BIG, MEASURED), probe=True,
        sizes=(8, 100, 4096, 200000, 262144, 700000, 8388608))
    add('after free', 'read it in another block, uninitialised', 'uninitialised_read',
        (ZERO | SWEEP, ANY, LIVES), (QUARANTINE, BIG, LIVES), (0, CLASS, SEEN), (0, BIG, MEASURED),
        probe=True)
    add('after free', 'handed out again at once', 'reuse_at_once', (QUARANTINE, ANY, LIVES),
        (0, ANY, MEASURED), arguments=('SIZE', '1'), probe=True)
    add('', '', 'order', (RANDOM, ANY, LIVES), (0, ANY, SEEN), sizes=(100, 4096))
    add('other', 'blocks follow each other (8 B)', 'order', (RANDOM, ANY, LIVES), (0, ANY, SEEN),
        sizes=(8,), probe=True)
    add('other', 'memory handed out again in another size (32 B)', 'retype', (TYPES, ANY, LIVES),
        (RANDOM, ANY, MEASURED), (0, ANY, SEEN), sizes=(32,), probe=True)
    add('', '', 'sealed', (SEAL, ANY, LIVES), (0, ANY, SEEN), arguments=(), sizes=(0,))
    past = 'write past the end of %%p %%t at byte %d: 00%s, now 42%s'
    for count, text in (1, '1 byte'), (8, '8 bytes'), (32, '32 bytes'), (1 << 20, '1 MiB'):
        more = '%x' if count > 1 else ''
        for size in TIERS:
            # Behind a large block of whole pages lies its guard. A longer overflow may not come to
            # its end, or reach what is told before.
            told = past % (size, more, more) if count < 64 else MEASURED
            add('overflow', text, 'write_past', (GUARDS, BIG, SEGV), (CANARY, ANY, told),
                # What lies behind it may be free, or nothing.
                (SWEEP, BIG, MEASURED), (RANDOM, ANY, MEASURED),
                (0, ANY, LIVES if count < 64 else MEASURED),
                arguments=('SIZE', str(count)), sizes=(size,))
    # It grows in its place, and its guard may lie further away.
    add('', '', 'overflow_grown', (CANARY, ANY, past % (307200, '', '')), (0, ANY, MEASURED),
        arguments=('SIZE', '307200'), sizes=(300000,))
    for count, text in (1, '1 byte'), (8, '8 bytes'), (32, '32 bytes'), (1 << 20, '1 MiB'):
        add('underflow', text, 'write_before', (GUARDS, BIG, SEGV if count < 64 else MEASURED),
            (0, ANY, MEASURED), arguments=('SIZE', str(count)))
    for size in 8, 100, 4096, 200000, 700000, 8388608:
        guard = ((GUARDS, BIG, SEGV),) if size % 4096 == 0 else ()
        add('', '', 'overflow', *guard, (CANARY, ANY, past % (size, '', '')), (GUARDS, BIG, SEGV),
            (RANDOM, ANY, MEASURED), (0, CLASS, LIVES), (0, BIG, MEASURED),
            arguments=('SIZE', '0'), sizes=(size,))
    for size in 700000, 1048576, 8388608:
        for distance in '0', '4095':
            canary = ((CANARY, BIG, MEASURED),) if size == 700000 and distance == '0' else ()
            add('', '', 'overrun', *canary, (GUARDS, BIG, SEGV), (0, BIG, MEASURED),
                arguments=('SIZE', distance), sizes=(size,))
    for writes, freed, text in ((0, 0, 'read'), (1, 0, 'write'), (0, 1, 'read, freed'),
                                (1, 1, 'write, freed')):
        add('block of size 0', text, 'size_zero', (EMPTY, ANY, SEGV), (0, ANY, LIVES),
            arguments=(str(writes), str(freed)), sizes=(0,))


def add_others(add):
    add('other', 'memory of the heap executed', 'execute', (0, ANY, SEGV))
    wrong = 'sized free with wrong size of %p %t'
    add('other', 'sized free, too small a size', 'sized_free', (POINTERS, ANY, wrong),
        (0, ANY, LIVES), arguments=('SIZE', 'SIZE/4'), sizes=(100, 4096, 262144, 8388608))
    add('other', 'sized free, too large a size', 'sized_free', (POINTERS, ANY, wrong),
        (0, ANY, LIVES), arguments=('SIZE', '9000000'))
    add('other', 'sized delete, wrong size', 'sized_delete', (POINTERS, ANY, wrong),
        (0, ANY, LIVES), arguments=('SIZE', '9000000'))
    for size, other in (100, 99), (100, 101), (4096, 4095), (700000, 699999):
        for program in 'sized_free', 'sized_delete':
            # Without a canary nobody knows better than the class, or the page.
            add('', '', program, ((POINTERS, CANARY), ANY, LIVES), (POINTERS, ANY, wrong),
                (0, ANY, LIVES), arguments=('SIZE', str(other)), sizes=(size,))
    for size, other, what in ((100, 200, wrong), (100, 40, wrong), (700000, 600000, wrong),
                              (100, 100, LIVES), (700000, 700000, LIVES)):
        add('', '', 'sized_free', (POINTERS, ANY, what), (0, ANY, LIVES),
            arguments=('SIZE', str(other)), sizes=(size,))
    # A block in a mapping of its own is huge, whatever its size.
    wrong = wrong.replace('%t', '(huge)')
    for size, others in (100, (0, 99, 101, 5000)), (8388608, (100, 8380000, 8388607, 9000000)):
        for other in others:
            same_page = ((POINTERS, CANARY), ANY, LIVES)
            add('', '', 'sized_free_mapped', *([same_page] if abs(other - size) <= 100 else []),
                (POINTERS, ANY, wrong), (0, ANY, LIVES), arguments=('SIZE', str(other)),
                sizes=(size,))
    add('', '', 'sized_free_mapped', (0, ANY, LIVES), arguments=('SIZE', 'SIZE'),
        sizes=(100, 8388608))
    add('legal', 'a forked child frees its parent\'s block', 'legal_fork', (0, ANY, LIVES),
        sizes=SIZES)
    add('legal', 'a block freed after its thread\'s exit', 'legal_thread', (0, ANY, LIVES),
        sizes=SIZES)


def arguments(case, size):
    """The words that the program gets."""
    return [str(size // 4) if a == 'SIZE/4' else str(size) if a == 'SIZE' else a
            for a in case.arguments]
