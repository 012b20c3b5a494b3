/* The appends that are killed: where each starts from, and what it does. */
#ifndef SHX_TEST_SCENARIO_H
#define SHX_TEST_SCENARIO_H

#include "model.h"

typedef struct {
    const char *name;
    void (*prepare)(world *w);
    bool overtaken; /* worth letting readers be overtaken by */
} scenario;

extern const scenario scenarios[];
extern const unsigned scenario_count;

/* Lay the scenario out in a new segment; every step of the preparation is an append that returned. */
void scenario_make(const scenario *which, world *w);
void scenario_free(world *w);

#endif
