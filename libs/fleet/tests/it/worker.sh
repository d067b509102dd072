#!/bin/sh
# A worker for the fleet's tests: says that it is there, then does what the first argument after its name tells.
echo "start $* parent=$TASKMASTER_PARENT_PID secret=$SECRET"
trap 'kill -9 $! 2>/dev/null' EXIT # with its nap
case "$4" in
  polite)   trap 'echo stopped; exit 0' TERM ;;
  second)   terms=0; trap 'terms=$((terms + 1)); echo "term $terms"; [ $terms = 2 ] && exit 0' TERM ;;
  stubborn) trap 'echo ignored' TERM ;;
  crash)    exit 7 ;;
  crash-*)  [ "$3" = "${4#crash-}" ] && exit 7; trap 'exit 0' TERM ;;
esac
echo ready
sleep 600 &
while :; do wait $!; done
