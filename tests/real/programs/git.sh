#!/bin/bash
# git: repositories made, branched, merged, packed, checked, searched, cloned; the same objects.
# needs: git
# processes: git
# short: yes
. "$REAL/under.sh"

export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_DATE='1700000000 +0000' \
    GIT_COMMITTER_DATE='1700000000 +0000' GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b \
    GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
under git init -q -b main repository && cd repository || exit
git config core.fsync none
for i in 1 2 3 4 5; do
    for j in $(seq 200); do echo "line $((i * j % 97))" >>"file$((j % 40))"; done
    under git add . && under git commit -q -m "commit $i" || exit
done
under git checkout -q -b side HEAD~2 && echo side >new && under git add new &&
    under git commit -q -m side && under git checkout -q main &&
    under git merge -q -m merge side && under git gc -q --prune=now &&
    under git fsck --full --no-progress && under git log --format='%H %s' --stat &&
    under git grep -c 'line 9' && under git blame file7 | md5sum &&
    under git diff HEAD~3 | md5sum &&
    under git clone -q . ../clone && under git -C ../clone rev-parse HEAD &&
    under git -C ../clone fsck --full --no-progress
