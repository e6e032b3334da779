#!/bin/bash
# Fetches the documents of ids.txt with the tasks of a Slurm array; each task takes its share of the ids.
#
#   export DOCFETCH_STATE_DIR=$HOME/docfetch-state     # all nodes see it; no other user can read it
#   export ONE_CODEX_API_KEY_FILE=$HOME/one-codex-key  # or ~/.onecodex
#   sbatch slurm-array.sh                              # in the folder of ids.txt
#
# To continue, submit the whole array again, with any number of tasks: docfetch skips documents that exist.
#SBATCH --job-name=docfetch
#SBATCH --array=1-8
#SBATCH --time=04:00:00
#SBATCH --mem=512M
#SBATCH --output=docfetch-%A_%a.log
set -euo pipefail

: "${DOCFETCH_STATE_DIR:?name a folder that all nodes share}"

# The indices may start at any number and have no gaps: --array=0-7 or 1-8, not 1-15:2.
share=$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN + 1))

# The id is part of the name: tasks do not know which names other tasks have taken.
code=0
split -n "r/$share/$SLURM_ARRAY_TASK_COUNT" ids.txt |
  docfetch onecodex - -d documents --name '{id}-{name}' --if-exists skip \
    --manifest "manifest-$SLURM_ARRAY_TASK_ID.jsonl" || code=$?

# A failure of the network or the service (5) may pass. A person must look at all others; 8 means: look at the bill.
if [ "$code" = 5 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 3 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
