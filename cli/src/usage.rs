//! What processes use, as the kernel counts it in `/proc`.

use std::fs;
use std::io;
use std::time::Duration;

/// `USER_HZ`: what a tick in `/proc/PID/stat` is, the same on every architecture that Culvert runs on.
const TICKS_PER_SECOND: u64 = 100;

/// The finest difference that [`cpu`] can tell: what took less may seem to have taken nothing.
pub const TICK: Duration = Duration::from_millis(1000 / TICKS_PER_SECOND);

/// CPU time, user and system, that these processes have used so far, all threads.
///
/// # Errors
/// One of them is not there any more.
pub fn cpu(pids: &[u32]) -> io::Result<Duration> {
    sum(pids, "stat", cpu_of)
}

/// Memory of these processes that is resident now, in bytes.
///
/// # Errors
/// One of them is not there any more.
pub fn resident(pids: &[u32]) -> io::Result<u64> {
    sum(pids, "status", resident_of)
}

fn sum<T: std::iter::Sum>(pids: &[u32], file: &str, parse: fn(&str) -> Option<T>) -> io::Result<T> {
    let one = |pid: &u32| {
        let path = format!("/proc/{pid}/{file}");
        let text = fs::read_to_string(&path).map_err(|error| {
            io::Error::new(error.kind(), format!("process {pid} of the path is gone: {error}"))
        })?;
        parse(&text)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("cannot understand {path}")))
    };
    pids.iter().map(one).sum()
}

fn cpu_of(stat: &str) -> Option<Duration> {
    // The name of the program stands in parentheses and may hold anything, so fields are counted after the last one.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * (1000 / TICKS_PER_SECOND)))
}

fn resident_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_whatever_the_name() {
        let stat = "17 (a) b) R 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 1";
        assert_eq!(cpu_of(stat), Some(Duration::from_millis(1750)));
        assert_eq!(cpu_of("17 (a R 1"), None);
        assert_eq!(resident_of("VmHWM:\t 9 kB\nVmRSS:\t    12 kB\n"), Some(12 << 10));
        assert_eq!(resident_of("Name: x"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let own = [std::process::id()];
        assert!(resident(&own).unwrap() > 100 << 10);
        let before = cpu(&own).unwrap();
        let mut sum = 0_u64;
        while cpu(&own).unwrap() == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(cpu(&[u32::MAX]).is_err());
    }
}
