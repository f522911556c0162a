//! Answers, limits and deadlines, with programs of the machine.

use plue_plan::budget::Unit;

use super::*;

const LIMITS: ProcessLimits = ProcessLimits {
    answer: Budget { bytes: 1024 * 1024, items: 1_000, steps: 0 },
    wall: Duration::from_secs(60),
    cpu: Duration::from_secs(60),
    memory: 256 * 1024 * 1024,
};

fn shell(limits: ProcessLimits, script: &str) -> Program {
    Program::new("sh", limits).args(["-c", script])
}

#[test]
fn input_larger_than_pipes_comes_back() {
    let input = vec![b'x'; 900_000];
    let answer = Program::new("cat", LIMITS).input(input.clone()).read_blocking().unwrap();
    assert_eq!(answer, input);
}

#[test]
fn answers_over_the_limit_kill_the_program() {
    let stopped = shell(LIMITS, "yes").read_blocking().unwrap_err();
    let over = |stopped: &ProcessError, of| matches!(stopped, ProcessError::Stopped(Stopped::Exhausted { unit, .. }) if *unit == of);
    assert!(over(&stopped, Unit::Bytes), "{stopped}");
    let stopped = shell(LIMITS, "yes").records_blocking(b'\n', |_| Ok(())).unwrap_err();
    assert!(over(&stopped, Unit::Items), "{stopped}");
    let long = "head -c 200000 /dev/zero";
    let stopped = shell(LIMITS, long).records_blocking(b'\n', |_| Ok(())).unwrap_err();
    assert!(over(&stopped, Unit::Bytes), "{stopped}");
}

#[test]
fn deadlines_kill_the_group() {
    let limits = ProcessLimits { wall: Duration::from_millis(100), ..LIMITS };
    let folder = tempfile::tempdir().unwrap();
    let script = "sleep 1000 & echo $! > child; wait";
    let late = shell(limits, script).folder(folder.path()).read_blocking().unwrap_err();
    assert!(matches!(late, ProcessError::Late(0)), "{late}");
    // Under load it may be killed before it writes the file; then nothing is left either.
    let child = std::fs::read_to_string(folder.path().join("child")).unwrap_or_default();
    if let Ok(child) = child.trim().parse::<i32>() {
        // A process that was killed is there for a moment until it has died.
        let lives = || {
            let status = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            !(status.is_empty() || status.contains(") Z ") || status.contains(") X "))
        };
        while lives() {
            std::thread::yield_now();
        }
    }
}

#[test]
fn memory_is_limited_by_the_kernel() {
    let script =
        "import sys; sys.stdout.write('began'); sys.stdout.flush(); b = bytearray(1 << 30)";
    let failed = Program::new("python3", LIMITS).args(["-c", script]).read_blocking().unwrap_err();
    assert!(failed.to_string().contains("MemoryError"), "{failed}");
}

#[test]
fn environments_are_cleared() {
    let answer = shell(LIMITS, "env").env("GIVEN", "1").read_blocking().unwrap();
    let text = String::from_utf8(answer).unwrap();
    let own = ["GIVEN", "LC_ALL", "PWD", "SHLVL", "_", "OLDPWD"];
    for line in text.lines() {
        let (name, _) = line.split_once('=').unwrap();
        assert!(own.contains(&name) || INHERITED.contains(&name), "{line}");
    }
    assert!(text.contains("GIVEN=1"));
}

#[test]
fn failures_repeat_the_complaint_on_one_line() {
    let failed = shell(LIMITS, "echo why >&2; echo not >&2; exit 3").read_blocking().unwrap_err();
    assert_eq!(failed.to_string(), "why not");
    let failed = shell(LIMITS, "exit 3").read_blocking().unwrap_err();
    assert_eq!(failed.to_string(), "exit status: 3");
    let missing = Program::new("/nowhere/program", LIMITS).read_blocking().unwrap_err();
    assert!(matches!(missing, ProcessError::Start { .. }));
}

#[test]
fn floods_of_complaints_do_not_block() {
    let script = "head -c 1000000 /dev/zero >&2; echo done";
    assert_eq!(shell(LIMITS, script).read_blocking().unwrap(), b"done\n");
}

#[tokio::test]
async fn records_are_read_as_they_come() {
    let program = shell(LIMITS, "printf 'a\\0b\\0c'");
    let made = program.records(0, Vec::new(), |made: &mut Vec<Vec<u8>>, record| {
        made.push(record.to_vec());
        Ok(())
    });
    assert_eq!(made.await.unwrap(), [b"a", b"b", b"c"]);
}

#[tokio::test]
async fn dropped_futures_kill_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let script = "exec 3> pipe; echo began >&3; exec sleep 1000";
    let call = shell(LIMITS, script).folder(folder.path()).read();
    let began = crate::Tasks::new().spawn_blocking(move || {
        use std::io::{BufRead as _, BufReader, Read as _};
        let mut reader = BufReader::new(std::fs::File::open(pipe).unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        (line, move || reader.read(&mut [0]).unwrap())
    });
    let (line, end) = tokio::select! {
        done = call => panic!("not waiting: {done:?}"),
        began = began => began.unwrap(),
    };
    assert_eq!(line, "began\n");
    // The pipe ends when the program that holds its other end is gone.
    let mut end = end;
    assert_eq!(end(), 0);
}

#[tokio::test]
async fn streams_that_fall_silent_end_at_the_deadline() {
    use tokio::io::AsyncReadExt as _;
    let limits = ProcessLimits { wall: Duration::from_millis(100), ..LIMITS };
    let mut silent = shell(limits, "echo began; exec sleep 1000").stream().unwrap();
    let error = silent.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    let mut endless = shell(limits, "exec >&-; exec sleep 1000").stream().unwrap();
    assert_eq!(endless.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    assert!(matches!(endless.finish().await.unwrap_err(), ProcessError::Late(0)));
}

/// Page faults of this thread that needed no disk.
fn minor_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    after_name.split_ascii_whitespace().nth(7).unwrap().parse().unwrap()
}

/// After a `fork` each page of the engine is copied or claimed again when it is written to.
#[test]
fn programs_start_without_a_copy_of_the_memory() {
    let mut memory = vec![1_u8; 64 * 1024 * 1024];
    shell(LIMITS, "true").read_blocking().unwrap();
    let before = minor_faults();
    for page in memory.chunks_mut(4_096) {
        page[0] = page[0].wrapping_add(1);
    }
    let faults = minor_faults() - before;
    assert!(faults < 16, "{faults} of {} pages", memory.len() / 4_096);
}

#[test]
fn missing_programs_are_named_in_errors() {
    let error = Program::new("no-such-program", LIMITS).read_blocking().unwrap_err();
    assert!(error.to_string().contains("no-such-program"), "{error}");
}
