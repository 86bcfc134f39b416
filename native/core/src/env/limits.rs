//! How many descriptors and maps the system lets this process have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The kernel's own default of `vm.max_map_count`, for systems that do not tell.
const MAPS_DEFAULT: u64 = 65_530;

/// Bounds that the system sets to one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessLimits {
    /// Open descriptors.
    pub descriptors: u64,
    /// Memory maps.
    pub maps: u64,
}

impl ProcessLimits {
    /// No bounds, for machines that are simulated.
    pub const UNBOUNDED: Self = Self { descriptors: u64::MAX, maps: u64::MAX };

    /// What the system says, after the limit of descriptors was raised as far as this process may:
    /// the soft one is there for programs that use `select`.
    pub fn of_this_process() -> Self {
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        // Where the system refuses, what there is has to do.
        let current = match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limit.maximum,
            Err(_) => limit.current,
        };
        Self { descriptors: current.unwrap_or(u64::MAX), maps: maps_max() }
    }

    /// How many of `wanted` descriptors may be for files: half of what there are, since sockets
    /// take descriptors, too.
    pub fn descriptors_for_files(&self, wanted: usize) -> usize {
        share(self.descriptors / 2, wanted)
    }

    /// How many of `wanted` maps may be read windows: half of what there are. Windows that are
    /// given up may be in use for a while, and threads and libraries have maps, too.
    pub fn maps_for_windows(&self, wanted: usize) -> usize {
        share(self.maps / 2, wanted)
    }
}

fn share(most: u64, wanted: usize) -> usize {
    usize::try_from(most).unwrap_or(usize::MAX).min(wanted).max(1)
}

#[cfg(target_os = "linux")]
fn maps_max() -> u64 {
    let told = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    told.and_then(|text| text.trim().parse().ok()).unwrap_or(MAPS_DEFAULT)
}

#[cfg(not(target_os = "linux"))]
fn maps_max() -> u64 {
    MAPS_DEFAULT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_had_as_far_as_half_of_the_limit_goes() {
        let limits = ProcessLimits { descriptors: 1024, maps: 100 };
        assert_eq!(
            (limits.descriptors_for_files(200), limits.descriptors_for_files(9000)),
            (200, 512)
        );
        assert_eq!((limits.maps_for_windows(7), limits.maps_for_windows(60)), (7, 50));
        assert_eq!(ProcessLimits { descriptors: 0, maps: 0 }.descriptors_for_files(5), 1);
    }

    #[test]
    fn the_limit_of_descriptors_is_raised_as_far_as_it_goes() {
        let limits = ProcessLimits::of_this_process();
        let now = getrlimit(Resource::Nofile);
        assert_eq!(Some(limits.descriptors), now.current.or(Some(u64::MAX)));
        assert!(limits.descriptors >= 16 && limits.maps >= 1024, "{limits:?}");
    }
}
