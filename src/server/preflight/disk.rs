//! The disk under the data directory: how much room it has, and how long it takes to keep something.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Check, Finding};
use crate::config::{Durability, Store, mebibytes_text};
use crate::store::Room;

const MIB: u64 = 1 << 20;

const ROOM: &str = "disk space";
const SYNC: &str = "disk sync";

/// With less the relay would end soon after its start: a disk that is full is a failed write.
pub const ROOM_MIN_BYTES: u64 = 16 * MIB;
/// Room for the journals and for tables that are being merged.
pub const ROOM_WANTED_BYTES: u64 = 1024 * MIB;
const INODES_MIN: u64 = 16;
const INODES_WANTED: u64 = 1024;

const SYNCS: usize = 100;
/// A slow disk is known after fewer.
const SYNCS_TIME: Duration = Duration::from_secs(1);
/// As much as a commit of some operations writes.
const SYNC_BYTES: usize = 4096;
const SLOW_P50: Duration = Duration::from_millis(10);
const SLOW_P99: Duration = Duration::from_millis(50);
/// Flushing to a medium takes longer on every disk there is.
const SUSPICIOUS_P50: Duration = Duration::from_micros(10);

pub fn room(path: &Path) -> Check {
    let place = nearest_directory(path);
    match Room::of(&place) {
        Ok(room) => judge_room(&place, room.free_bytes, room.free_inodes),
        Err(error) => Check::not_visible(ROOM, format!("{}: {error}", place.display())),
    }
}

/// The directory itself, or the one that it would be made in.
fn nearest_directory(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = path.ancestors().find(|place| place.is_dir());
    there.unwrap_or(Path::new("/")).to_owned()
}

fn judge_room(place: &Path, bytes: u64, inodes: Option<u64>) -> Check {
    let free = match inodes {
        Some(inodes) => format!("{} and {inodes} inodes", mebibytes_text(bytes)),
        None => mebibytes_text(bytes),
    };
    let place = place.display();
    let finding = |why: String| Finding {
        what: format!("{place} has {free} left"),
        why,
        remedy: "Make room (df -h, df -i), or choose another place: --set store.path=DIRECTORY."
            .to_owned(),
    };
    if bytes < ROOM_MIN_BYTES || inodes.is_some_and(|inodes| inodes < INODES_MIN) {
        return Check::wrong(
            ROOM,
            finding(format!(
                "the relay ends at the first write that fails, and does not begin with less than {} and \
                 {INODES_MIN} inodes",
                mebibytes_text(ROOM_MIN_BYTES)
            )),
        );
    }
    if bytes < ROOM_WANTED_BYTES || inodes.is_some_and(|inodes| inodes < INODES_WANTED) {
        return Check::advice(
            ROOM,
            finding(format!(
                "journals, and tables that are being merged, take up to {}, and the relay ends at the first write \
                 that fails",
                mebibytes_text(ROOM_WANTED_BYTES)
            )),
        );
    }
    Check::good(ROOM, format!("{free} left in {place}"))
}

/// Whether what was written is kept, as far as the file system's kind says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileSystem {
    Disk,
    Memory(&'static str),
    Container(&'static str),
    Network(&'static str),
}

impl FileSystem {
    /// By the number that statfs gives, see magic.h of the kernel.
    fn of(magic: u64) -> Self {
        match magic {
            0x0102_1994 => Self::Memory("tmpfs"),
            0x8584_58f6 => Self::Memory("ramfs"),
            0x794c_7630 => Self::Container("overlay"),
            0x6969 => Self::Network("NFS"),
            0xff53_4d42 | 0xfe53_4d42 => Self::Network("CIFS"),
            0x0102_1997 => Self::Network("9p"),
            0x6573_5546 => Self::Network("FUSE"),
            _ => Self::Disk,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Latency {
    p50: Duration,
    p99: Duration,
}

pub fn sync(config: &Store) -> Check {
    let place = nearest_directory(&config.path);
    let magic = match rustix::fs::statfs(&place) {
        Ok(stat) => stat.f_type as u64 & 0xffff_ffff,
        Err(error) => {
            return Check::not_visible(SYNC, format!("{}: {error}", place.display()));
        }
    };
    match measure(&place) {
        Ok(latency) => judge_sync(FileSystem::of(magic), latency, config.durability),
        Err(error) => Check::not_visible(SYNC, format!("{}: {error}", place.display())),
    }
}

/// Appends to a file there as the store does, each time with a sync.
fn measure(place: &Path) -> io::Result<Latency> {
    let path = place.join(format!(".corelay-sync-{}", std::process::id()));
    let measured = File::create_new(&path).and_then(|file| {
        let (begun, bytes) = (Instant::now(), [0x5a; SYNC_BYTES]);
        let mut times = Vec::with_capacity(SYNCS);
        while times.len() < SYNCS && (times.is_empty() || begun.elapsed() < SYNCS_TIME) {
            let begun = Instant::now();
            file.write_all_at(&bytes, (times.len() * SYNC_BYTES) as u64)?;
            file.sync_data()?;
            times.push(begun.elapsed());
        }
        Ok(percentiles(times))
    });
    let removed = fs::remove_file(&path);
    let latency = measured?;
    removed.map(|()| latency)
}

/// Of at least one time.
fn percentiles(mut times: Vec<Duration>) -> Latency {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1];
    Latency {
        p50: at(50),
        p99: at(99),
    }
}

fn judge_sync(place: FileSystem, Latency { p50, p99 }: Latency, durability: Durability) -> Check {
    let milliseconds = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1000.0);
    let seen = format!("p50 {}, p99 {}", milliseconds(p50), milliseconds(p99));
    let advice = |what: String, why: &str, remedy: &str| {
        Check::advice(
            SYNC,
            Finding {
                what,
                why: why.to_owned(),
                remedy: remedy.to_owned(),
            },
        )
    };
    match place {
        FileSystem::Memory(kind) => {
            return advice(
                format!("store.path is in memory ({kind})"),
                "when the machine restarts everything that was acknowledged is gone",
                "Put it on a disk: --set store.path=DIRECTORY. For a trial it may stay.",
            );
        }
        FileSystem::Container(kind) => {
            return advice(
                format!("store.path is in the container's own file system ({kind}); {seen}"),
                "it goes with the container, and every new file is slower there",
                "Mount a volume: docker run --volume corelay:/var/lib/corelay.",
            );
        }
        FileSystem::Network(kind) => {
            return advice(
                format!("store.path is on another machine ({kind}); {seen}"),
                "what a sync keeps, and whether a second relay is kept out, is for that machine to say",
                "Put it on a disk of this machine: --set store.path=DIRECTORY.",
            );
        }
        FileSystem::Disk => {}
    }
    if p50 < SUSPICIOUS_P50 {
        return advice(
            format!("it answers faster than any disk: {seen}"),
            "a cache that a power failure empties seems to answer for it, and what was acknowledged would be gone",
            "Switch the volatile write cache off, or make the hypervisor pass flushes on (cache=none or writethrough).",
        );
    }
    match durability {
        Durability::Always if p50 > SLOW_P50 || p99 > SLOW_P99 => advice(
            format!("it is slow: {seen}"),
            "with store.durability = \"always\" every operation waits for a sync before anybody is told of it",
            "Use an SSD, best one with power-loss protection; keep backups and logs on another disk; or set \
             store.durability=interval if the last second may be lost.",
        ),
        Durability::Always | Durability::Interval | Durability::Never => Check::good(SYNC, seen),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    fn words(check: Check) -> String {
        match check.outcome {
            Outcome::Good { seen } => format!("ok {seen}"),
            Outcome::NotVisible { reason } => format!("- {reason}"),
            Outcome::Advice(finding) => format!("advice {finding}"),
            Outcome::Wrong(finding) => format!("wrong {finding}"),
        }
    }

    #[test]
    fn little_room_is_advice_and_none_is_wrong() {
        let table = [
            (4096 * MIB, Some(100_000), "ok 4096 MiB and 100000 inodes"),
            (4096 * MIB, None, "ok 4096 MiB left in /srv"),
            (500 * MIB, None, "advice /srv has 500 MiB left"),
            (4096 * MIB, Some(500), "advice /srv has 4096 MiB and 500"),
            (15 * MIB, None, "wrong /srv has 15 MiB left"),
            (4096 * MIB, Some(0), "wrong /srv has 4096 MiB and 0 inodes"),
        ];
        for (bytes, inodes, expected) in table {
            let said = words(judge_room(Path::new("/srv"), bytes, inodes));
            assert!(said.starts_with(expected), "{said}");
        }
    }

    #[test]
    fn a_sync_can_be_slow_too_fast_or_of_no_use() {
        let latency = |p50_us, p99_us| Latency {
            p50: Duration::from_micros(p50_us),
            p99: Duration::from_micros(p99_us),
        };
        let (always, never) = (Durability::Always, Durability::Never);
        let table = [
            (
                FileSystem::Disk,
                latency(300, 2_000),
                always,
                "ok p50 0.30 ms, p99 2.00 ms",
            ),
            (
                FileSystem::Disk,
                latency(12_000, 20_000),
                always,
                "advice it is slow: p50 12.00 ms",
            ),
            (
                FileSystem::Disk,
                latency(300, 60_000),
                always,
                "advice it is slow",
            ),
            (FileSystem::Disk, latency(12_000, 90_000), never, "ok p50"),
            (
                FileSystem::Disk,
                latency(2, 9),
                never,
                "advice it answers faster than any disk",
            ),
            (
                FileSystem::of(0x0102_1994),
                latency(2, 9),
                always,
                "advice store.path is in memory (tmpfs)",
            ),
            (
                FileSystem::of(0x794c_7630),
                latency(300, 400),
                always,
                "advice store.path is in the container",
            ),
            (
                FileSystem::of(0x6969),
                latency(300, 400),
                always,
                "advice store.path is on another machine (NFS)",
            ),
            (FileSystem::of(0xef53), latency(300, 400), always, "ok"),
        ];
        for (place, latency, durability, expected) in table {
            let said = words(judge_sync(place, latency, durability));
            assert!(said.starts_with(expected), "{said}");
        }
    }

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times = (1..=100).rev().map(Duration::from_micros).collect();
        let latency = percentiles(times);
        assert_eq!(latency.p50, Duration::from_micros(50));
        assert_eq!(latency.p99, Duration::from_micros(99));
        let latency = percentiles(vec![Duration::from_micros(7)]);
        assert_eq!((latency.p50, latency.p99), (latency.p99, latency.p50));
    }

    #[test]
    fn measuring_leaves_nothing_behind() {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let latency = measure(directory.path()).expect("it can be written");
        assert!(latency.p50 <= latency.p99);
        let mut left = fs::read_dir(directory.path()).expect("it is still there");
        assert!(left.next().is_none());
    }
}
