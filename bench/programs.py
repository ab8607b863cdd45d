"""Whole programs under a preloaded allocator, started by the program `launch`.

Each function runs the program once and returns the report as the benchmark programs print it:
name, ops, seconds, cpu, rss_kb, checksum. The checksum is of the program's output, which an
allocator must not change.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")
TRACES = os.path.join(HERE, "..", "..", "corpus", "trace", "seed")
REDIS_TESTS = "set,get,lpush,lpop,sadd,hset,zadd,mset"
REDIS_REQUESTS = 20000


class Failed(Exception):
    """A run that gives no result: the text says why."""


class Missing(Exception):
    """This system lacks the program: nothing was measured, for any allocator."""


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


def program_path(name):
    path = shutil.which(name, path="/usr/bin:/bin")
    if not path:
        raise Missing(f"{name} is not installed")
    return path


def launch(folder, library, command, timeout, environment=()):
    """Runs `launch`; returns its report and what the command wrote before it."""
    line = [os.path.join(folder, "launch"), f"--require={library}", *command]
    environment = {**os.environ, "LC_ALL": "C", **dict(environment)}
    try:
        done = subprocess.run(line, capture_output=True, timeout=timeout, env=environment)
    except subprocess.TimeoutExpired:
        raise Failed(f"{command[0]}: no end after {timeout} s") from None
    if done.returncode:
        raise Failed(done.stderr.decode(errors="replace").strip()[-300:])
    output, _, report = done.stdout.rstrip(b"\n").rpartition(b"\n")
    return json.loads(report), output


def run_compile(folder, library, timeout):
    compiler = program_path("g++")
    with tempfile.TemporaryDirectory() as scratch:
        target = os.path.join(scratch, "out.o")
        report, _ = launch(folder, library,
                           [compiler, "-std=c++17", "-O1", "-c", "-o", target,
                            os.path.join(HERE, "compile.cc")], timeout)
        with open(target, "rb") as made:
            report["checksum"] = digest(made.read())
    return report


def run_python(folder, library, timeout):
    report, output = launch(folder, library,
                            [program_path("python3"), os.path.join(HERE, "objects.py")], timeout,
                            {"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"}.items())
    report["checksum"] = digest(output)
    return report


def wait_for(path, process, seconds):
    deadline = time.monotonic() + seconds
    while not os.path.exists(path):
        if process.poll() is not None:
            raise Failed(f"redis-server: {process.stderr.read().decode(errors='replace')[-300:]}")
        if time.monotonic() > deadline:
            process.kill()
            raise Failed(f"redis-server: not ready after {seconds} s")
        time.sleep(0.01)


def run_redis(folder, library, timeout, requests=REDIS_REQUESTS, environment=None):
    """Seconds are those of redis-benchmark; CPU time and peak size are the server's."""
    server, client, control = map(program_path, ("redis-server", "redis-benchmark", "redis-cli"))
    with tempfile.TemporaryDirectory() as scratch:
        socket = os.path.join(scratch, "socket")
        process = subprocess.Popen(
            [os.path.join(folder, "launch"), f"--require={library}", server, "--port", "0",
             "--unixsocket", socket, "--save", "", "--dir", scratch, "--logfile",
             os.path.join(scratch, "log")], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})})
        try:
            wait_for(socket, process, 20)
            begin = time.monotonic()
            done = subprocess.run(
                [client, "-s", socket, "-t", REDIS_TESTS, "-n", str(requests), "-r", "50000",
                 "-d", "200", "-P", "16", "-q"], capture_output=True, timeout=timeout)
            seconds = time.monotonic() - begin
            if done.returncode:
                raise Failed(f"redis-benchmark: {done.stderr.decode(errors='replace')[-300:]}")
        except subprocess.TimeoutExpired:
            raise Failed(f"redis-benchmark: no end after {timeout} s") from None
        finally:
            subprocess.run([control, "-s", socket, "shutdown", "nosave"], capture_output=True)
            output, errors = process.communicate(timeout=timeout)
        if process.returncode:
            raise Failed(errors.decode(errors="replace").strip()[-300:])
        report = json.loads(output.rstrip(b"\n").rpartition(b"\n")[2])
        report.update(seconds=seconds, ops=requests * len(REDIS_TESTS.split(",")))
        return report


def run_trace(folder, name, repeats, fill, library, timeout):
    """Replays a recorded program. Seconds are those of the replay, without loading the file."""
    path = os.path.join(TRACES, name + ".hkt")
    if not os.path.exists(path):
        raise Missing(f"{path} does not exist")
    report, output = launch(folder, library,
                            [os.path.join(folder, "hakmem-trace"), "replay", "--json", "--fill",
                             fill, "--repeat", repeats, path], timeout)
    replayed = json.loads(output)
    report.update(ops=replayed["operations"], seconds=replayed["seconds"])
    return report


WHOLE_PROGRAMS = {"compile": run_compile, "python": run_python, "redis": run_redis}


def run_program(folder, program, arguments, library, timeout):
    """One run of a row; the report, or Failed or Missing."""
    if program in WHOLE_PROGRAMS:
        return WHOLE_PROGRAMS[program](folder, library, timeout)
    if program == "trace":
        return run_trace(folder, *arguments, library, timeout)
    line = [os.path.join(folder, program), f"--require={library}", *arguments]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=timeout,
                              env={**os.environ, "LD_PRELOAD": library})
    except subprocess.TimeoutExpired:
        raise Failed(f"{program}: no end after {timeout} s") from None
    if done.returncode:
        raise Failed(f"{program}: exit {done.returncode}: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout)
