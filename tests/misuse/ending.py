"""How a wrong program ends."""
import concurrent.futures
import os
import subprocess

SECONDS = 60  # of one program; ten times as many under a tool
POOL = concurrent.futures.ThreadPoolExecutor(int(os.environ.get('HAK_TEST_JOBS', '0')) or
                                             2 * os.cpu_count())


def run(programs, library, program, words, under=()):
    """(how it ended, its standard error, the pointer it named last); library '' is none."""
    environment = {**os.environ, 'LD_PRELOAD': library} if library else os.environ
    try:
        done = subprocess.run([*under, os.path.join(programs, program), *words], env=environment,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=SECONDS * (10 if under else 1))
    except subprocess.TimeoutExpired:
        return 'no end in time', '', ''
    except OSError as error:
        return str(error), '', ''
    ended = ('signal %d' % -done.returncode if done.returncode < 0 else
             'exit %d' % done.returncode)
    lines = done.stdout.decode(errors='replace').splitlines()
    return ended, done.stderr.decode(errors='replace'), lines[-1] if lines else ''
