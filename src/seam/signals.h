// signals.h (seam): a signal that asks for statistics.
//
// Who sends it by sigqueue(3) can have the answer in a file of its own: the value is the number of
// a descriptor of the sender, open on a regular file (a memfd, say), plus the format times 2^16.
// The handler opens that file by way of /proc and, if it can be sealed, seals it when it is
// complete, or empty because another report is being written. If that file cannot be opened,
// because the sender is gone by now or is another user's, nothing is written: nobody waits for it.
//
// For a signal that was sent by kill, or by sigqueue without a format, the answer goes to standard
// error.
#ifndef HAK_SIGNALS_H
#define HAK_SIGNALS_H

#include "../base.h"

#define signal_watch(number) hak_signal_watch(number)

enum signal_watched {
    SIGNAL_WATCHED,
    SIGNAL_IN_USE,  // the program handles or ignores it: nothing was changed
    SIGNAL_REFUSED, // it cannot be handled, or stands for a fault of the program
};

// From now on hak_on_signal, which is not defined here, is called for each signal of this number:
// in a signal handler, in any thread, with all signals blocked. Keeps errno.
enum signal_watched hak_signal_watch(int number);
void hak_on_signal(int fd, unsigned format); // format 0: the sender did not say

#endif
