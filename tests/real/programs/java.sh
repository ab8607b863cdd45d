#!/bin/bash
# java: a program of threads and garbage compiled to the same classes, run under each collector.
# needs: java javac
# processes: java
# variants: Serial Parallel G1 Z Shenandoah
. "$REAL/under.sh"

[ "$1" != Serial ] || { under javac -d out "$REAL/Work.java" || exit; }
[ "$1" = Serial ] || { javac -d out "$REAL/Work.java" || exit; }
under java -Xmx256m "-XX:+Use${1}GC" -XX:-UsePerfData -cp out Work
