#!/bin/bash
# `make slurm`: a chain of seconds through profiles/slurm, on a cluster of this one machine that is set up for it and
# taken down again. Wants root, and Debian's slurmctld, slurmd, slurm-client and munge. Not part of the gate.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
for c in slurmctld slurmd sbatch munged; do
    command -v $c >/dev/null || { echo "needs $c: apt-get install slurmctld slurmd slurm-client munge" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo 'needs root, to start the daemons' >&2; exit 1; }

conf=/etc/slurm/slurm.conf      # where daemons and jobs look for it
[ ! -e $conf ] || { echo "$conf is there: this machine is of a cluster already" >&2; exit 1; }

tmp=$(mktemp -d)
host=$(hostname -s)
started=()
down() {
    local p
    for p in "${started[@]}"; do kill "$p" 2>/dev/null && wait "$p" 2>/dev/null || true; done
    [ -e "$tmp/munged.pid" ] && kill "$(cat "$tmp/munged.pid")" 2>/dev/null || true
    rm -rf "$tmp" $conf
}
trap down EXIT

# --- the cluster: two cores, no accounting
mkdir -p "$tmp"/{state,spool}
dd if=/dev/urandom of="$tmp/munge.key" bs=1024 count=1 status=none
chmod 700 "$tmp" && chmod 400 "$tmp/munge.key"
munged --force --key-file "$tmp/munge.key" --socket "$tmp/munge.socket" --pid-file "$tmp/munged.pid" \
       --log-file "$tmp/munged.log" --seed-file "$tmp/munge.seed"
mkdir -p /etc/slurm
cat > $conf <<CONF
ClusterName=one
SlurmctldHost=$host
AuthType=auth/munge
AuthInfo=socket=$tmp/munge.socket
SlurmUser=root
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$tmp/state
SlurmdSpoolDir=$tmp/spool
SlurmctldPidFile=$tmp/slurmctld.pid
SlurmdPidFile=$tmp/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MinJobAge=600
SchedulerParameters=sched_interval=2
NodeName=$host NodeHostname=$host CPUs=$(nproc) RealMemory=16000 State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
slurmctld -D >"$tmp/slurmctld.log" 2>&1 & started+=($!)
slurmd -D -N "$host" >"$tmp/slurmd.log" 2>&1 & started+=($!)
for _ in $(seq 30); do sinfo -h -o %t 2>/dev/null | grep -q idle && break; sleep 1; done
sinfo || { tail -20 "$tmp"/slurm*.log >&2; exit 1; }

# --- the checkout as it is, with a scale of seconds; without GPUs the profile's `gres` goes, as it says
copy=$tmp/checkout
mkdir "$copy"
(cd "$root" && git ls-files -z | xargs -0 cp --parents -t "$copy")
sed -i '/gres:/d; s/mem_mb: .*/mem_mb: 2000/; s/latency-wait: .*/latency-wait: 5/' "$copy/profiles/slurm/config.yaml"
cat > "$copy/scales/seconds.yaml" <<'SCALE'
plan: {digits: [0]}
parameters:
  02a_training: {recipe: &teacher {epochs: 2}}
  03_probes:    {recipe: *teacher}
  04_gan:       {recipe: *teacher, gan_recipe: {epochs: 1}}
SCALE
pages=(build/seconds/notebooks/{02_models,03_probes}.ipynb build/seconds/jobs/04_gan-digits-seed0.ipynb)
cd "$copy"
unset PYTHONPATH DFKD_RUNS
export PATH=$root/.venv/bin:$PATH OMP_NUM_THREADS=1
snakemake --workflow-profile profiles/slurm --config scale=seconds -- "${pages[@]}"
squeue --states all -o '%i %T %M %C %o'
ls "${pages[@]}" runs/*/*/result.json
# the same command finds nothing more to do
snakemake --workflow-profile profiles/slurm --config scale=seconds --dry-run -- "${pages[@]}" | grep -i 'nothing to be done'
