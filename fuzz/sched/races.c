// races.c: hears what ThreadSanitizer reports. Nobody calls it in other builds.
#include "races.h"

static bool race_reported;

bool races_reported(void)
{
    bool reported = race_reported;
    race_reported = false;
    return reported;
}

// Called by ThreadSanitizer, on the stack of the thread that raced.
void __tsan_on_report(void *report);
void __tsan_on_report(void *report)
{
    (void)report;
    race_reported = true;
}
