#!/bin/bash
# ffmpeg: generated picture and sound, filtered, encoded by several codecs in threads, decoded.
# The threads of x264 share slices of a picture: those that share pictures do not give the same
# bytes each time, with no library at all.
# needs: ffmpeg
# processes: ffmpeg
. "$REAL/under.sh"

run() { under ffmpeg -nostdin -hide_banner -loglevel error -threads 2 "$@"; }
exact='-fflags +bitexact -flags:v +bitexact -flags:a +bitexact'
source='-f lavfi -i testsrc2=size=320x240:rate=25:duration=4 -f lavfi -i sine=440:duration=4'
# shellcheck disable=SC2086 # lists of words are meant
{
    run $source -vf 'hue=s=0.5,scale=256:192,rotate=0.1' -c:v mpeg4 -c:a aac $exact out/a.mkv &&
        run $source -c:v libx264 -preset veryfast -x264-params threads=2:sliced-threads=1 \
            -c:a flac $exact out/b.mkv &&
        run $source -vf 'boxblur=2,edgedetect' -c:v ffv1 -c:a pcm_s16le $exact -f md5 - &&
        run -i out/b.mkv -vf 'split[a][b];[a]hflip[c];[c][b]hstack' -c:v mjpeg $exact -f md5 -
}
