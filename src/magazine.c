// magazine.c: the memory of a magazine.
//
//   slots [NULL| b1 | b2 | b3 |    |    |  ...  ]       malloc pops b3, free pushes behind it
//          ^sentinel      top^     limit^  room^
//
//   top <= limit == slots + 1 + capacity;  capacity <= room
//
// One that never had a capacity shares `hak_no_slots`, and is empty and full. Slots are not given
// back when the capacity becomes less, only when they are outgrown.
#include "magazine.h"

#include "meta.h"

void *hak_no_slots[2];

bool hak_magazine_resize(struct magazine *m, uint32_t capacity)
{
    void **slots = hak_magazine_slots(m);
    if (capacity > m->room) {
        uint32_t count = hak_magazine_count(m);
        void **more = hak_meta_alloc((capacity + 1) * sizeof(void *));
        if (more == NULL)
            return false;
        if (slots != NULL) {
            __builtin_memcpy(more, slots, (count + 1) * sizeof(void *));
            hak_meta_free(slots, (m->room + 1u) * sizeof(void *));
        }
        slots = more;
        own_store(&m->slots, slots);
        m->room = (uint16_t)capacity;
        own_store(&m->capacity, capacity);
        own_store(&m->top, slots + 1 + count);
    }
    own_store(&m->capacity, capacity);
    if (slots != NULL)
        m->limit = slots + 1 + capacity;
    return true;
}

bool hak_magazine_ok(const struct magazine *m)
{
    void **slots = hak_magazine_slots(m);
    return slots == NULL || (slots[0] == NULL && m->limit == slots + 1 + own_load(&m->capacity) &&
                             (void **)own_load(&m->top) == slots + 1 + hak_magazine_count(m));
}
