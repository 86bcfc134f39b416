//! What the process takes of the machine.

use std::{fmt, fs};

/// Figures of this process at one moment, or between two.
pub(crate) struct Usage {
    user_ms: u64,
    system_ms: u64,
    /// Anonymous memory, which the broker and nobody else takes.
    pub(crate) anonymous_bytes: u64,
    descriptors: usize,
    maps: usize,
}

impl Usage {
    pub(crate) fn now() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let mut times = fields.split(' ').skip(11).map(|field| field.parse::<u64>().unwrap() * 10);
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        Self {
            user_ms: times.next().unwrap(),
            system_ms: times.next().unwrap(),
            anonymous_bytes: kilobytes << 10,
            descriptors: fs::read_dir("/proc/self/fd").unwrap().count(),
            maps: fs::read_to_string("/proc/self/maps").unwrap().lines().count(),
        }
    }

    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            user_ms: self.user_ms - before.user_ms,
            system_ms: self.system_ms - before.system_ms,
            anonymous_bytes: self.anonymous_bytes.saturating_sub(before.anonymous_bytes),
            ..*self
        }
    }

    pub(crate) fn cpu_ms(&self) -> u64 {
        self.user_ms + self.system_ms
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "CPU {} ms user and {} ms system, {} KiB anonymous more, {} descriptors, {} maps",
            self.user_ms,
            self.system_ms,
            self.anonymous_bytes >> 10,
            self.descriptors,
            self.maps
        )
    }
}

/// Bytes that all disks of the machine have been given so far.
pub(crate) fn device_bytes_written() -> u64 {
    let text = fs::read_to_string("/proc/diskstats").unwrap();
    let sectors = text.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(2);
        let name = fields.next()?;
        let is_disk = fs::exists(format!("/sys/block/{name}")).unwrap_or(false);
        is_disk.then(|| fields.nth(6)?.parse::<u64>().ok())?
    });
    sectors.sum::<u64>() * 512
}

/// Has the next reads go to the disk, where the process may do that; else they find what is cached.
pub(crate) fn drop_page_cache() {
    if std::env::var_os("SCALE_COLD").is_some()
        && let Err(error) = fs::write("/proc/sys/vm/drop_caches", "3")
    {
        println!("page cache stays: {error}");
    }
}
