#!/bin/bash
# Works with git below FOLDER as people and build machines do, until killed: git-work.sh FOLDER SEED
set -u
cd "$1" || exit 1
RANDOM=$2
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
if [[ ! -d first/.git ]]; then rm -rf first; git init -q first; fi
cd first || exit 1
rm -f .git/*.lock .git/refs/heads/*.lock
while true; do
  for i in {1..30}; do
    folder=d$((RANDOM % 9))
    mkdir -p "$folder" && echo "$RANDOM $RANDOM" >> "$folder/f$((RANDOM % 40))"
  done 2> /dev/null
  git add -A . && git commit -q -m "commit $RANDOM"
  case $((RANDOM % 8)) in
    0) git gc -q ;;
    1) rm -rf ../clone && git clone -q . ../clone ;;
    2) git checkout -q -B "b$((RANDOM % 3))" ;;
    3) git reset -q --hard HEAD~1 2> /dev/null ;;
    4) git mv "d$((RANDOM % 9))" "d$((RANDOM % 9))" 2> /dev/null ;;
    5) git repack -q -a -d ;;
    6) rm -rf ../clone/.git ;;
  esac
done
