#!/usr/bin/env bash
# A Ray cluster inside a SLURM allocation, and one release on it:
#   sbatch --nodes=8 --gpus-per-node=8 --cpus-per-task=64 cluster/deploy/slurm.sh configs/demo.yaml \
#     store.url=s3://faces/made
# Nodes share the working folder and $HOME. A job that is requeued goes on from what is committed.
#SBATCH --job-name=face-factory
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
set -euo pipefail

if [ $# -lt 1 ]; then
  echo "usage: sbatch [...] cluster/deploy/slurm.sh CONFIG [section.key=value ...]" >&2
  exit 2
fi
: "${SLURM_JOB_NODELIST:?run this by sbatch}"

port=$((20000 + SLURM_JOB_ID % 10000))  # Ray's workers listen on 10002 to 19999
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}  # not by `| head -n 1`, whose early end now and then fails the pipe
address="$head:$port"
mkdir -p "$HOME/.cache"  # which all nodes see, and which goes into no package
token=$(mktemp "$HOME/.cache/ray-token-XXXXXX")
trap 'rm -f "$token"' EXIT
head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$token"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$token" RAY_USAGE_STATS_ENABLED=0

srun --nodes=1 --ntasks=1 --nodelist="$head" \
  ray start --head --port="$port" --dashboard-host=127.0.0.1 --block &
head_pid=$!
until ray status --address "$address" > /dev/null 2>&1; do
  kill -0 "$head_pid" 2> /dev/null || { echo "the head on $head did not start" >&2; exit 1; }
  sleep 2
done
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --exclude="$head" \
    ray start --address="$address" --block &
fi

# Two minutes before the end of the allocation: no node gets another lease, what is drawn is committed.
export RAY_ADDRESS="$address"
driver="" told=""
trap 'told=yes
  srun --overlap --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \
    python -m cluster.drain --seconds 100 &
  [ -z "$driver" ] || kill -TERM "$driver"' TERM
python -m jobs.release "$@" &
driver=$!
[ -z "$told" ] || kill -TERM "$driver"  # it came before there was a driver
code=0
wait "$driver" || code=$?
if [ "$told" ] && [ "$code" -gt 128 ]; then  # because a trapped signal ends the first wait
  code=0
  wait "$driver" || code=$?
fi
exit "$code"
