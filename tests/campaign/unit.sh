#!/bin/sh
# A unit of the campaign's service that obeys the nemesis.   unit.sh store PORT FOLDER | unit.sh thing start|stop|status
# /run/nemesis/broken: does not start. /run/nemesis/stubborn: does not hear SIGTERM. /run/nemesis/stuck: `thing`
# does not stop, whatever is done.
here=$(dirname "$0")
case $1 in
  store)
    [ -e /run/nemesis/broken ] && exit 1
    exec /usr/bin/python3 "$here/store.py" "$2" "$3"
    ;;
  thing)
    case $2 in
      start) mkdir -p /run/nemesis && : > /run/nemesis/thing ;;
      stop) [ -e /run/nemesis/stuck ] || rm -f /run/nemesis/thing ;;
      status) [ -e /run/nemesis/thing ] ;;
    esac
    ;;
esac
