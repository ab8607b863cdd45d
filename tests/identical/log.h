// log.h: a line of the log of log.c.
#ifndef TESTS_IDENTICAL_LOG_H
#define TESTS_IDENTICAL_LOG_H

void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
