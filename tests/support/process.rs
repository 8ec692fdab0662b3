//! Child processes: waiting with a deadline, stopping, and what they cost (CPU time, memory).

use std::net::TcpListener;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Polls `done` until it is true. Says whether that came before `within` was over.
pub fn wait_until(within: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// A loopback TCP port that nobody listens on at this moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap().port()
}

/// A fresh folder for sites and spools; under `FEEDD_TEST_DIR` if that is set, so that a run can
/// be pointed at a certain disk.
pub fn temp_dir() -> tempfile::TempDir {
    match std::env::var_os("FEEDD_TEST_DIR") {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    }
    .unwrap()
}

/// Sends `signal` to one process.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid as i32) {
        let _ = kill_process(pid, signal);
    }
}

/// Asks `child` to end with SIGTERM; SIGKILL once `grace` is over. `true` if it ended by itself.
pub fn terminate(child: &mut Child, grace: Duration) -> bool {
    if matches!(child.try_wait(), Ok(Some(_))) {
        return true;
    }
    signal(child.id(), Signal::TERM);
    if wait_until(grace, || matches!(child.try_wait(), Ok(Some(_)) | Err(_))) {
        return true;
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}

/// Kills whatever is left in the process group that `child` led.
pub fn kill_group(child: &Child) {
    if let Some(pid) = Pid::from_raw(child.id() as i32) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// A number in KiB from `/proc/PID/status`, such as `VmRSS`; 0 when the process is gone.
pub fn status_kib(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .and_then(|value| value.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Resident memory of a process that is its own alone, in KiB: anonymous pages, not those of
/// mapped files, which belong to the page cache.
pub fn memory_kib(pid: u32) -> u64 {
    status_kib(pid, "RssAnon")
}

/// Proportional memory of a process and of all its descendants, in KiB: pages shared by forks
/// are divided among them, mapped files are left out.
pub fn family_memory_kib(pid: u32) -> u64 {
    family(pid).iter().map(|pid| rollup_kib(*pid)).sum()
}

fn rollup_kib(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss_Anon:"))
        .and_then(|value| value.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// CPU time (user and system) that a process and all its descendants, dead ones included, have
/// used so far.
pub fn family_cpu(pid: u32) -> Duration {
    family(pid).iter().map(|pid| own_cpu(*pid)).sum()
}

/// CPU time of one process and of its children that ended.
///
/// `/proc/PID/stat` counts whole ticks of 10 ms, which says nothing of many processes that did a
/// little each; the threads' `schedstat` counts nanoseconds, but forgets threads that ended.
fn own_cpu(pid: u32) -> Duration {
    // utime, stime, cutime, cstime: fields 14 to 17.
    let ticks: Vec<u64> =
        stat_fields(pid).iter().skip(11).take(4).filter_map(|field| field.parse().ok()).collect();
    let ticks = |range: std::ops::Range<usize>| {
        Duration::from_millis(10 * ticks.get(range).unwrap_or_default().iter().sum::<u64>())
    };
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let nanos: u64 = threads
        .filter_map(|thread| {
            let schedstat = text_of(&thread.path().join("schedstat"));
            schedstat.split(' ').next()?.parse::<u64>().ok()
        })
        .sum();
    ticks(0..2).max(Duration::from_nanos(nanos)) + ticks(2..4)
}

/// The fields of `/proc/PID/stat` from the third on (after the name, which may hold spaces).
fn stat_fields(pid: u32) -> Vec<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().map(str::to_owned).collect()
}

/// A process and all its living descendants.
fn family(root: u32) -> Vec<u32> {
    let processes: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .map(|dir| {
            dir.flatten()
                .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
                .filter_map(|pid| Some((pid, stat_fields(pid).get(1)?.parse().ok()?)))
                .collect()
        })
        .unwrap_or_default();
    let mut members = vec![root];
    let mut next = 0;
    while let Some(&parent) = members.get(next) {
        members.extend(processes.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    members
}

/// The text of a file, or nothing: for logs that may not be there yet.
pub fn text_of(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}
