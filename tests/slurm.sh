#!/bin/bash
# `make slurm`: a chain of seconds through profiles/slurm, on a cluster of this one machine that is set up for it, with
# accounting as real ones have it, and taken down again. Wants root, and Debian's packages below. Not part of the gate.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
packages='slurmctld slurmd slurm-client slurmdbd munge mariadb-server'
for c in slurmctld slurmd sbatch slurmdbd munged mariadbd; do
    command -v $c >/dev/null || { echo "needs $c: apt-get install $packages" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo 'needs root, to start the daemons' >&2; exit 1; }

conf=/etc/slurm/slurm.conf      # where daemons and jobs look for it
dbconf=/etc/slurm/slurmdbd.conf
for f in $conf $dbconf; do
    [ ! -e $f ] || { echo "$f is there: this machine is of a cluster already" >&2; exit 1; }
done

tmp=$(mktemp -d)
host=$(hostname -s)
started=()
down() {
    for ((i=${#started[@]}-1; i >= 0; i--)); do         # the database last
        kill "${started[i]}" 2>/dev/null && wait "${started[i]}" 2>/dev/null || true
    done
    [ -e "$tmp/munged.pid" ] && kill "$(cat "$tmp/munged.pid")" 2>/dev/null || true
    rm -rf "$tmp" $conf $dbconf
}
trap down EXIT
start() { "${@:2}" >"$tmp/$1.log" 2>&1 & started+=($!); }
until_true() { for _ in $(seq 60); do "$@" >/dev/null 2>&1 && return; sleep 1; done; tail -20 "$tmp"/*.log >&2; exit 1; }

# --- who is who, and a database for the accounting
mkdir -p "$tmp"/{state,spool,db} /etc/slurm
chmod 700 "$tmp"
dd if=/dev/urandom of="$tmp/munge.key" bs=1024 count=1 status=none
chmod 400 "$tmp/munge.key"
socket=/run/munge/munge.socket.2
[ ! -e $socket ] || { echo "$socket is there: munged runs already" >&2; exit 1; }
mkdir -p /run/munge
munged --force --key-file "$tmp/munge.key" --socket $socket --pid-file "$tmp/munged.pid" \
       --log-file "$tmp/munged.log" --seed-file "$tmp/munge.seed"
mariadb-install-db --no-defaults --user=root --datadir="$tmp/db" >"$tmp/install.log" 2>&1
sql() { mariadb --no-defaults --socket "$tmp/db.socket" "$@"; }
start mariadbd mariadbd --no-defaults --user=root --datadir="$tmp/db" --socket="$tmp/db.socket" --port=16820 \
      --bind-address=127.0.0.1 --pid-file="$tmp/db.pid"
until_true sql -e 'select 1'
sql -e "create database slurm; create user slurm@'127.0.0.1' identified by 'one';
        create user slurm@localhost identified by 'one'; grant all on slurm.* to slurm@'127.0.0.1', slurm@localhost"

# --- the cluster: all cores of this machine
cat > $dbconf <<CONF
AuthType=auth/munge
DbdHost=localhost
DbdPort=16819
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=16820
StorageUser=slurm
StoragePass=one
StorageLoc=slurm
PidFile=$tmp/slurmdbd.pid
CONF
chmod 600 $dbconf
cat > $conf <<CONF
ClusterName=one
SlurmctldHost=$host
AuthType=auth/munge
SlurmUser=root
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$tmp/state
SlurmdSpoolDir=$tmp/spool
SlurmctldPidFile=$tmp/slurmctld.pid
SlurmdPidFile=$tmp/slurmd.pid
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort=16819
JobAcctGatherType=jobacct_gather/linux
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2
NodeName=$host NodeHostname=$host CPUs=$(nproc) RealMemory=16000 State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
start slurmdbd slurmdbd -D
until_true sacctmgr -i list cluster
sacctmgr -i add cluster one
sacctmgr -i add account all
sacctmgr -i add user root account=all
start slurmctld slurmctld -D
start slurmd slurmd -D -N "$host"
idle() { sinfo -h -o %t | grep -q idle; }
until_true idle
sinfo

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
soon=(--slurm-init-seconds-before-status-checks 5 --seconds-between-status-checks 5)
timeout 900 snakemake --workflow-profile profiles/slurm "${soon[@]}" --config scale=seconds -- "${pages[@]}"
sacct --format JobID,State,Elapsed,MaxRSS,JobName%40
ls "${pages[@]}" runs/*/*/result.json
# the same command finds nothing more to do
snakemake --workflow-profile profiles/slurm --config scale=seconds --dry-run -- "${pages[@]}" | grep -i 'nothing to be done'
