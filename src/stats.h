// stats.h: what hakmem.h says of statistics, collected at one moment for a report.
//
// Any thread, also in a signal handler: nothing here locks or allocates.
#ifndef HAK_STATS_H
#define HAK_STATS_H

#include "config.h"
#include "hakmem.h"

struct collected {
    struct hak_stats totals;
    struct hak_class_stats classes[CLASS_COUNT]; // class CLASS_FIRST + i
};

void hak_stats_collect(struct collected *out);

#endif
