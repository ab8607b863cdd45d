#!/bin/bash
# imagemagick: pictures drawn, distorted, resized, quantised in threads, written in several formats.
# needs: convert identify
# processes: convert-im6.q16 identify-im6.q16
. "$REAL/under.sh"

export OMP_NUM_THREADS=2
under convert -size 640x480 -seed 7 plasma:fractal -resize 800x600 -blur 0x3 -swirl 60 a.miff &&
    under convert a.miff -rotate 30 -edge 2 -colors 64 -define png:exclude-chunks=date,time \
        -strip b.png &&
    under convert a.miff -crop 200x200+50+50 +repage -emboss 1 -normalize -strip c.jpg &&
    under convert a.miff b.png c.jpg -resize 128x128! +append -strip d.gif || exit
for file in a.miff b.png c.jpg d.gif; do
    under identify -format '%m %wx%h %#\n' "$file" || exit
done
