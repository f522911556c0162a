//! Untrusted steps, for real: their attacks on this machine, and their permitted actions.
//!
//! Without a working bubblewrap (a container without user namespaces) the tests print that they prove
//! nothing, and pass: no untrusted step runs there.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use plue_executor::Isolation;
use plue_flow::{RunStatus, StepStatus};
use plue_plan::{Action, Plan, Step, Value, action::Python, policy::Concurrency};
use plue_pool::Untrusted;

use super::world::{World, after, bash};

/// Text that must never appear inside.
const HIDDEN: &str = "hidden-from-strangers-5d41402a";

/// A world with a sandbox, if this machine can have one.
async fn sandboxed(options: Untrusted) -> Option<World> {
    let world = World::untrusted(Some(options)).await;
    match world.engine.untrusted_isolation().await {
        Isolation::Ready(_) => Some(world),
        Isolation::Off => unreachable!("the walls were asked for"),
        Isolation::Missing(why) => {
            eprintln!("NOT PROVEN: strangers' steps cannot be walled off on this machine: {why}");
            None
        }
    }
}

/// A process of this machine that the steps must not reach.
struct Bystander(Child);

impl Bystander {
    fn start() -> Self {
        let mut command = Command::new("sleep");
        command.arg("600").env("BYSTANDER", HIDDEN).stdin(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A step that tries things. Each line of `tries` is a command that must fail.
fn refused(id: &str, tries: &str) -> Step {
    let tries = tries.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines = tries.map(|line| {
        let quoted = line.replace('\'', r"'\''");
        format!("if ( {line} ) >/dev/null 2>&1; then echo 'LEAK: {quoted}'; fi\n")
    });
    bash(id, &format!("set +e +u +o pipefail\n{}echo tried\n", lines.collect::<String>()))
}

async fn nothing_leaked(world: &World, run: &plue_plan::RunId, steps: &[&str]) {
    for step in steps {
        let log = world.log(run, step).await;
        assert!(log.ends_with("tried\n"), "{step}: {log}");
        assert!(!log.contains("LEAK") && !log.contains(HIDDEN), "{step}: {log}");
    }
}

#[tokio::test]
async fn hostile_steps_reach_nothing_of_this_machine() {
    let Some(world) = sandboxed(Untrusted::default()).await else { return };
    let mut bystander = Bystander::start();
    let pid = bystander.0.id();
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let number = port.local_addr().unwrap().port();
    let state = world.directory.path().join("state");
    std::fs::create_dir_all(state.join("workspaces/other")).unwrap();
    for file in ["secret.key", "workspaces/other/file", "../beside.txt"] {
        std::fs::write(state.join(file), HIDDEN).unwrap();
    }
    let (state, outside) = (state.display(), world.directory.path().join("beside.txt"));
    let outside = outside.display();
    let files = format!(
        "cat {state}/plue.db\n cat {state}/secret.key\n cat {state}/workspaces/other/file\n \
         ls {state}/locks\n cat {state}/runners/*/token\n cat {outside}\n ls /home/*\n ls /root/*\n \
         ls /var/lib/*\n cat /etc/shadow\n ls /work/*\n cat /proc/1/root{outside}\n \
         grep -r {HIDDEN} /tmp /run /dev/shm /etc {state}"
    );
    let writes = format!(
        "touch /usr/x\n touch /etc/x\n touch /x\n touch {state}/x\n touch /run/x\n touch /dev/x\n \
         touch /sys/x\n echo core > /proc/sys/kernel/core_pattern\n \
         echo h > /proc/sysrq-trigger\n mount -t tmpfs none /mnt\n mount -o remount,rw /usr\n \
         umount /usr\n mknod node c 1 3"
    );
    // PTRACE_SEIZE: unlike ATTACH it stops no process.
    let ptrace = "python3 -c 'import ctypes, sys; \
                  sys.exit(ctypes.CDLL(None).ptrace(0x4206, int(sys.argv[1]), 0, 0) != 0)'";
    let processes = format!(
        "kill -0 {pid}\n kill -9 {pid}\n test -e /proc/{pid}\n \
         grep -sal {HIDDEN} /proc/[0-9]*/environ\n env | grep -E 'CARGO|BYSTANDER|PLUE_SECRET'\n \
         test $PPID != 1\n \
         cat /proc/$PPID/environ\n head -c1 /proc/$PPID/mem\n ls /proc/$PPID/fd/\n \
         {ptrace} 1\n kill -9 1 && sleep 0.1 && ! test -e /proc/1/stat\n \
         keyctl show @s | grep -q ."
    );
    let network = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{number}\n exec 3<>/dev/tcp/169.254.169.254/80\n \
         exec 3<>/dev/tcp/1.1.1.1/53\n ls /run/docker.sock /var/run/docker.sock\n \
         ip link add dummy0 type dummy"
    );
    let rights = "cp /bin/bash ./b && chmod u+s ./b && test \"$(./b -p -c 'id -u')\" = 0\n \
                  su -c id\n sudo -n id\n unshare -U true\n unshare -m true\n \
                  chroot / true\n nsenter -t 1 -m true\n python3 -c 'import os; os.setuid(0)'\n \
                  grep -E 'Cap(Prm|Eff|Bnd|Amb):.*[1-9a-f]' /proc/self/status\n \
                  ulimit -Hu unlimited\n ulimit -Hc unlimited";
    let steps = vec![
        refused("files", &files),
        refused("writes", &writes),
        refused("processes", &processes),
        refused("network", &network),
        refused("rights", rights),
    ];
    let names: Vec<_> = steps.iter().map(|step| step.id.to_string()).collect();
    let (run, status) = world.run(steps).await;
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    nothing_leaked(&world, &run, &names).await;
    assert_eq!(status, RunStatus::Success);
    assert!(bystander.lives());
    drop(port);
    world.check_rows(&run).await;
}

/// Each call by its number, with the error that it must end with. What comes from elsewhere in the kernel
/// (a wrong pointer, no rights to this one object) would be another error for most.
#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn system_calls_that_no_build_needs_are_refused() {
    let Some(world) = sandboxed(Untrusted::default()).await else { return };
    let (forbidden, absent, no_family) = (1, 38, 97);
    let clone_user = 0x1000_0000_u64 | 17;
    let calls = [
        (forbidden, vec![248]),
        (forbidden, vec![249]),
        (forbidden, vec![250, 0]),
        (forbidden, vec![272, 0]),
        (forbidden, vec![308, 0]),
        (forbidden, vec![321]),
        (forbidden, vec![298]),
        (forbidden, vec![323]),
        (forbidden, vec![165]),
        (forbidden, vec![428]),
        (forbidden, vec![430]),
        (forbidden, vec![467]),
        (forbidden, vec![175]),
        (forbidden, vec![246]),
        (forbidden, vec![56, clone_user]),
        (forbidden, vec![16, 0, 0x5412, 0]),
        (forbidden, vec![135, 0x040_0000]),
        (absent, vec![425]),
        (absent, vec![435]),
        (absent, vec![0x4000_0000 + 39]),
        (no_family, vec![41, 40, 1, 0]),
        (no_family, vec![41, 38, 5, 0]),
    ];
    let calls: Vec<String> =
        calls.iter().map(|(error, call)| format!("({error}, {call:?})")).collect();
    let code = format!(
        "import ctypes\n\
         libc = ctypes.CDLL(None, use_errno=True)\n\
         libc.syscall.restype = ctypes.c_long\n\
         for error, call in [{}]:\n    \
             result = libc.syscall(*[ctypes.c_ulong(word) for word in call])\n    \
             if result >= 0 or ctypes.get_errno() != error:\n        \
                 print('LEAK', call, result, ctypes.get_errno())\n\
         print('tried')\n",
        calls.join(", ")
    );
    std::fs::write(world.work().join("calls.py"), code).unwrap();
    let (run, status) = world.run(vec![bash("calls", "python3 calls.py")]).await;
    assert_eq!((world.log(&run, "calls").await.as_str(), status), ("tried\n", RunStatus::Success));
}

#[tokio::test]
async fn abstract_sockets_are_closed_despite_a_network() {
    use std::os::{linux::net::SocketAddrExt as _, unix::net};
    let Some(world) = sandboxed(Untrusted { network: true, ..Untrusted::default() }).await else {
        return;
    };
    if let Isolation::Ready(open) = world.engine.untrusted_isolation().await
        && !open.is_empty()
    {
        eprintln!("NOT PROVEN: {open:?}");
        return;
    }
    let name = format!("plue-abstract-{}", std::process::id());
    let address = net::SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = net::UnixListener::bind_addr(&address).unwrap();
    let connect = format!(
        "python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(chr(0) + \"{name}\")'"
    );
    // Their own are theirs.
    let own = "import socket\n\
               one, two = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)\n\
               one.bind(chr(0) + 'own')\n\
               one.listen()\n\
               two.connect(chr(0) + 'own')\n";
    std::fs::write(world.work().join("own.py"), own).unwrap();
    let steps = vec![refused("theirs", &connect), bash("own", "python3 own.py")];
    let (run, status) = world.run(steps).await;
    assert_eq!(status, RunStatus::Success);
    nothing_leaked(&world, &run, &["theirs"]).await;
}

#[tokio::test]
async fn fork_bombs_are_bounded_and_end_with_runs() {
    let few = Untrusted { max_processes: 120, ..Untrusted::default() };
    let Some(world) = sandboxed(few).await else { return };
    let mark = format!("98765.{}", std::process::id());
    let daemon = format!("setsid nohup sleep {mark} >/dev/null 2>&1 & sleep 0.2; echo tried");
    let bomb = "import os, signal, time\n\
                children = []\n\
                try:\n    \
                    for _ in range(400):\n        \
                        pid = os.fork()\n        \
                        if pid == 0:\n            \
                            time.sleep(60)\n            \
                            os._exit(0)\n        \
                        children.append(pid)\n\
                except BlockingIOError:\n    \
                    print('bounded', 20 < len(children) < 120)\n\
                for pid in children:\n    \
                    os.kill(pid, signal.SIGKILL)\n";
    std::fs::write(world.work().join("bomb.py"), bomb).unwrap();
    let bomb = "python3 bomb.py";
    let large = "set +e\npython3 -c 'bytearray(9 << 30)' 2>&1 | grep -o MemoryError\necho tried";
    let steps = vec![
        bash("daemon", &daemon),
        after("bomb", bomb, &["daemon"]),
        after("large", large, &["bomb"]),
    ];
    let (run, status) = world.run(steps).await;
    assert_eq!(status, RunStatus::Success);
    assert_eq!(world.log(&run, "bomb").await, "bounded True\n");
    assert_eq!(world.log(&run, "large").await, "MemoryError\ntried\n");
    assert!(!anybody(&mark), "a process of the steps has outlived them");
    // Not kept for anybody else, although there is room.
    assert_eq!(world.store.runners().list(None).await.unwrap(), []);
    let left = std::fs::read_dir(world.directory.path().join("state/runners")).unwrap();
    assert_eq!(left.count(), 0);
}

/// Whether a process has this in its command line.
fn anybody(mark: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.windows(mark.len()).any(|window| window == mark.as_bytes())
    })
}

#[tokio::test]
async fn steps_that_mean_no_harm_do_not_notice() {
    let Some(world) = sandboxed(Untrusted::default()).await else { return };
    let python = Python {
        code: Some(
            "import json, os, ssl, subprocess\n\
                    print(subprocess.check_output(['id', '-un'], text=True).strip())\n\
                    json.dump({'n': 7}, open(os.environ['PLUE_OUTPUT'], 'w'))\n"
                .to_owned(),
        ),
        call: None,
        args: Vec::new(),
        script: None,
    };
    let mut python = Step::new("python", Action::Python(python));
    python.depends_on = vec!["git".into()];
    let git = "git init -q . && git config user.email a@b && git config user.name a && \
               echo hi > file && git add file && git commit -qm x && git log --oneline | wc -l";
    let shell = "test \"$PWD\" = \"$PLUE_WORKSPACE\"; test -s \"$PLUE_EVENT_PATH\"; \
                 mktemp >/dev/null; echo x > /dev/shm/x; cat <(echo piped); \
                 (sleep 0.1; echo later) & wait; echo '{\"a\":1}' > $PLUE_OUTPUT";
    let steps = vec![bash("git", git), python, after("shell", shell, &["python"])];
    let (run, status) = world.run(steps).await;
    let logs = (
        world.log(&run, "git").await,
        world.log(&run, "python").await,
        world.log(&run, "shell").await,
    );
    assert_eq!(status, RunStatus::Success, "{logs:?}");
    assert_eq!(logs, ("1\n".to_owned(), "plue\n".to_owned(), "piped\nlater\n".to_owned()));
    assert_eq!(world.output(&run, "python").await, serde_json::json!({"n": 7}));
    assert_eq!(std::fs::read_to_string(world.work().join("file")).unwrap(), "hi\n");
    // Going on after its end is the same run for the same pool.
    let again = plue_flow::input::Reopen::From("shell".into());
    assert_eq!(world.retry(&run, again).await.unwrap(), RunStatus::Success);
}

#[tokio::test]
async fn untrusted_steps_never_start_without_a_sandbox() {
    let world = World::untrusted(None).await;
    let run = world.submit(Plan::new("t", vec![bash("a", "touch ran")])).await;
    let handle = world.begin(&run).await;
    let mut changes = world.store.changes_of(&run);
    while !world.why(&run, "a").await.contains("pools.untrusted.mode is off") {
        changes.changed().await.unwrap();
    }
    assert_eq!(world.step(&run, "a").await, StepStatus::Queued);
    assert_eq!(world.store.runners().list(None).await.unwrap(), []);
    handle.canceller().cancel("test", false).await;
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Cancelled);
    assert!(!Path::new(&world.work().join("ran")).exists());
    world.check_rows(&run).await;
}

#[tokio::test]
async fn untrusted_runs_cancel_no_run_of_their_group() {
    let mut world = World::untrusted(None).await;
    let deploy = |run: &str| {
        let mut plan = Plan::new("t", vec![bash("a", run)]);
        let group = Value::text("deploy");
        plan.concurrency = Some(Concurrency { group, cancel_in_progress: true });
        plan
    };
    world.untrusted = false;
    let own = world.submit(deploy("exec sleep 600")).await;
    let going = world.begin(&own).await;
    world.until(&own, "a", StepStatus::Running).await;
    world.untrusted = true;
    let strange = world.submit(deploy("true")).await;
    let held = world.begin(&strange).await;
    let mut changes = world.store.changes_of(&strange);
    // It has had its turn.
    while world.why(&strange, "a").await.is_empty() {
        changes.changed().await.unwrap();
    }
    assert!(!going.is_over());
    assert_eq!(world.step(&own, "a").await, StepStatus::Running);
    for handle in [held, going] {
        handle.canceller().cancel("test", true).await;
        assert_eq!(handle.wait().await.unwrap(), RunStatus::Cancelled);
    }
}
