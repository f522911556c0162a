//! Runners that go from run to run: nothing of a run reaches the next one.
//!
//! Tests that need bubblewrap print `NOT PROVEN` and pass on machines where it does not work.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::{
    own_isolation::{own_isolation, workflow},
    serve::Served,
};

/// Runs of which two must share a runner: the first ones may start before it is idle.
const TRIES: usize = 6;

/// Reports what an earlier run left, then leaves the same: files, queues, and processes that hide.
const LEAVES: &str = r#"
number=$((31400 + 15))
state=$(dirname $(dirname $PLUE_OUTPUT))
places="/tmp/left /tmp/deep /tmp/link /var/tmp/left /dev/shm/left /dev/mqueue/left $HOME/left $HOME/.profile"
for path in $places $state/left $state/io/left $PLUE_WORKSPACE/left $PLUE_WORKSPACE/../left; do
    if test -e $path || test -L $path; then echo "LEFT $path"; fi
done
for process in /proc/[0-9]*; do
    if grep -qs $number $process/cmdline; then echo "LEFT $(tr '\0' ' ' < $process/cmdline)"; fi
done
if grep -qs $number $state/claims; then echo "LEFT claims"; fi
ls /tmp | grep again | sed 's/^/LEFT /' || true
ls $(dirname $PLUE_WORKSPACE) | grep -v "^$(basename $PLUE_WORKSPACE)$" | sed 's/^/LEFT /' || true
touch /tmp/left /dev/shm/left ~/left ~/.profile $state/left $state/io/left $PLUE_WORKSPACE/left
if test -d /dev/mqueue; then touch /dev/mqueue/left; fi
touch $PLUE_WORKSPACE/../left 2> /dev/null || true
mkdir -p /tmp/deep/folder
ln -s / /tmp/link
ln /tmp/left /tmp/deep/folder/hard
echo $number >> $state/claims
setsid sleep $number > /dev/null 2>&1 &
setsid env -i bash -c "trap '' TERM HUP INT; while :; do : > /tmp/again-\$RANDOM; done; $number" > /dev/null 2>&1 &
setsid env -i python3 -c "
import ctypes, os, signal, time
child = os.fork()
if child:
    ctypes.CDLL(None).ptrace(16, child, 0, 0)
    os.kill(child, signal.SIGSTOP)
time.sleep($number)
" > /dev/null 2>&1 &
readlink /proc/self/ns/mnt
"#;

#[test]
fn idle_runners_keep_nothing_of_a_run() {
    let served = Served::start();
    if !own_isolation(&served.bench) {
        return;
    }
    let (mut sandboxes, mut runs) = (BTreeSet::new(), 0);
    // Each sandbox has a namespace of mounts; a second run in one proves the reuse.
    while sandboxes.len() == runs {
        runs += 1;
        assert!(runs <= TRIES, "each of {TRIES} runs had a runner of its own");
        served.bench.write(".plue.py", workflow(&format!("# {runs}\n{LEAVES}")));
        served.push();
        let run = served.run(runs);
        let log = served.log_of(&run, "test");
        assert_eq!(run["status"], Json::from("success"), "{log}");
        assert!(log.starts_with("mnt:[") && log.lines().count() == 1, "{log}");
        sandboxes.insert(log);
        // The files of a run stay where they were, for a retry.
        let id = run["id"].as_str().unwrap();
        assert!(served.bench.state().join("workspaces").join(id).join("left").exists());
    }
}

/// Properties of a runner that its steps have, and of the folders that they write to.
const SEEN: &str = r#"
state=$(dirname $(dirname $PLUE_OUTPUT))
echo "$(ls -A /tmp | wc -l) $(stat -c %a /tmp) $(ulimit -Hn) $(ulimit -Hf) $(nice)" \
    "$(taskset -p $$ | sed 's/.*: //') $(ipcs -m | grep -c 0x || true) $(ls -A $state | sort | tr '\n' ' ')"
"#;

/// Changes that no runner can undo, or does not try to.
const LASTING: [&str; 8] = [
    "chmod 500 /tmp",
    "mkdir /tmp/closed; touch /tmp/closed/file; chmod 0 /tmp/closed",
    "prlimit --pid 1 --nofile=512:512",
    "prlimit --pid 1 --fsize=1048576:1048576",
    "renice -n 5 -p 1",
    "ipcmk -M 64",
    "rm $state/boot; echo mine > $state/boot",
    "mv $state/sock $state/socket",
];

#[test]
fn changed_runners_serve_no_further_run() {
    let served = Served::start();
    if !own_isolation(&served.bench) {
        return;
    }
    let mut seen = BTreeSet::new();
    for (number, change) in LASTING.iter().chain(&["true"]).enumerate() {
        let script = format!("{SEEN}\n{change} > /dev/null");
        served.bench.write(".plue.py", workflow(&script));
        served.push();
        let run = served.run(number + 1);
        let log = served.log_of(&run, "test");
        assert_eq!(run["status"], Json::from("success"), "{change}: {log}");
        seen.insert(log);
    }
    assert_eq!(seen.len(), 1, "a run saw what an earlier one had changed: {seen:#?}");
}
