// litmus_tests.h: the classic small programs, as tables.
#ifndef MODEL_LITMUS_TESTS_H
#define MODEL_LITMUS_TESTS_H

#include "explore.h"

enum { RLX = 0, ACQ = ORDER_ACQUIRE, REL = ORDER_RELEASE, AR = ACQ | REL, SC = AR | ORDER_SC };
enum { X, Y, Z, CELLS };
enum { THREADS = 4, STEPS = 4, REGISTERS = 4 };
// CAS: strong or weak, from 0 to value; register 1 = success. HINT: a spin hint.
enum { END, STORE, LOAD, ADD, FENCE, CAS, CAS_WEAK, HINT };

struct step {
    int what, cell, order, value; // LOAD, ADD and CAS: `value` is followed by the register
    int reg;
};

#define W(cell, order, value)        \
    {                                \
        STORE, cell, order, value, 0 \
    }
#define R(cell, order, reg)       \
    {                             \
        LOAD, cell, order, 0, reg \
    }
#define RMW(cell, order, value, reg) \
    {                                \
        ADD, cell, order, value, reg \
    }
#define C(cell, order, value, reg)   \
    {                                \
        CAS, cell, order, value, reg \
    }
#define CW(cell, order, value, reg)       \
    {                                     \
        CAS_WEAK, cell, order, value, reg \
    }
#define H                \
    {                    \
        HINT, 0, 0, 0, 0 \
    }
#define F(order)              \
    {                         \
        FENCE, 0, order, 0, 0 \
    }

struct litmus {
    const char *name;
    bool seen; // the outcome of interest
    const char *note;
    int registers[REGISTERS]; // the outcome; -1: any
    int finals[CELLS];
    struct step threads[THREADS][STEPS];
};

#define ANY        \
    {              \
        -1, -1, -1 \
    }

extern const struct litmus litmus_tests[];
extern const unsigned litmus_count;

#endif
