#!/bin/bash
# Unpacks, configures and builds a source package in FOLDER again and again: build-work.sh FOLDER ARCHIVE
set -u
cd "$1" || exit 1
while true; do
  rm -rf unpacked && mkdir unpacked && tar -C unpacked -xf "$2" || exit 1
  (cd unpacked/* && ./configure && make && make install DESTDIR="$1/installed" && make clean)
done
