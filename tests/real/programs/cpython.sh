#!/bin/bash
# cpython: modules of CPython's own test-suite, with all objects from malloc. Compared is the result
# of each test; a test that fails without us too may fail.
# needs: /usr/bin/python3 /usr/lib/python3.11/test/test_gc.py
# processes: python3.11
# variants: array asyncio bytes concurrent_futures ctypes decimal deque dict faulthandler fork1 gc
# variants: hashlib io itertools json list memoryview mmap multiprocessing_fork os pickle queue re
# variants: set struct subprocess thread threading tracemalloc unicode weakref xml_etree zlib
. "$REAL/under.sh"

# Of what would take minutes, a part.
only=("test_$1")
case $1 in
    asyncio) only=(test_asyncio.test_queues test_asyncio.test_tasks) ;;
    concurrent_futures)
        only+=(-m 'ThreadPoolExecutorTest*' -m 'ProcessPoolForkProcessPoolExecutorTest*')
        ;;
    # It ends before a process that it has started.
    subprocess) only+=(-i '*test_run_with_shell_timeout_and_capture_output') ;;
    multiprocessing_fork) only+=(-m 'WithProcessesTest[PQS]*' -m 'WithThreadsTestPool*') ;;
esac

PYTHONMALLOC=malloc under /usr/bin/python3 -m test --junit-xml "$PWD/report.xml" "${only[@]}" \
    >log 2>&1
echo "exit status of the tests: $?"
grep -a hakmem: log
/usr/bin/python3 "$REAL/junit.py" report.xml
