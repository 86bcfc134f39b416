//! How much of a file system is kept free, and for whom.
//!
//! Everything is a share of its size, so that 64 MiB are as usable as 64 TiB, up to a bound beyond
//! which more would serve nobody:
//!
//! | of | records are refused below | taken again from | warned below | reserve | segment at most |
//! |---|---|---|---|---|---|
//! | 64 MiB | 2 MiB | 4 MiB | 8 MiB | 512 KiB | 4 MiB |
//! | 1 GiB | 32 MiB | 64 MiB | 128 MiB | 8 MiB | 64 MiB |
//! | 100 GiB | 1 GiB | 2 GiB | 12.5 GiB | 16 MiB | as configured |
//! | 1 TiB | 1 GiB | 2 GiB | 16 GiB | 16 MiB | as configured |

use crate::env::Space;

const KIBIBYTE: u64 = 1 << 10;
const MEBIBYTE: u64 = 1 << 20;
const GIBIBYTE: u64 = 1 << 30;
const BLOCK_BYTES: u64 = 4 * KIBIBYTE;

/// What records may not have is there for group commits, indexes and the metadata, and for a
/// compaction, which makes room by writing a segment first: 1 GiB unless a topic asks for more.
const REFUSE_SHARE: u64 = 32;
const REFUSE_BYTES_MAX: u64 = GIBIBYTE;
/// Half a minute of a producer that writes 500 MB/s, hours of an ordinary one.
const WARN_SHARE: u64 = 8;
const WARN_BYTES_MAX: u64 = 16 * GIBIBYTE;
/// A deletion needs a few blocks. The largest file that it may have to write anew is a checkpoint:
/// 10 MiB for 100,000 partitions and their topics in the metadata.
const RESERVE_SHARE: u64 = 128;
const RESERVE_BYTES_MAX: u64 = 16 * MEBIBYTE;
/// Deletions and retention free whole segments. One that is as large as the disk would never go.
const SEGMENT_SHARE: u64 = 16;
const SEGMENT_BYTES_MIN: u64 = MEBIBYTE;
/// The broker's own topics are short, and live in what is refused to others.
const INTERNAL_SEGMENT_SHARE: u64 = 128;
const INTERNAL_SEGMENT_BYTES_MIN: u64 = 256 * KIBIBYTE;
/// Each partition that is written fast has one of these ahead of its tail.
const AHEAD_SHARE: u64 = 1024;
const AHEAD_BYTES_MIN: u64 = 64 * KIBIBYTE;
const AHEAD_BYTES_MAX: u64 = 64 * MEBIBYTE;
/// A flush journal has two files. Where one could hold no more than a few groups there is none.
const JOURNAL_FILE_SHARE: u64 = 128;
const JOURNAL_FILE_BYTES_MIN: u64 = 4 * MEBIBYTE;

/// How short of space a data directory is, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Nothing is missing.
    Ample = 0,
    /// It will not last: nothing is allocated ahead, and what is deleted goes at once.
    Warn = 1,
    /// Records are refused, but for those of the broker's own topics.
    Scarce = 2,
    /// All appends are refused: what is left is the reserve, for deletions and administration.
    Exhausted = 3,
}

impl Level {
    /// The level of a number.
    pub(super) fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Ample,
            1 => Self::Warn,
            2 => Self::Scarce,
            _ => Self::Exhausted,
        }
    }
}

/// What is kept free of a file system of one size, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// Records are refused when less is available,
    pub refuse_below: u64,
    /// and taken again from here on.
    pub resume_from: u64,
    /// There is a warning when less is available,
    pub warn_below: u64,
    /// which ends here.
    pub ample_from: u64,
    /// Size of the reserve file; 0 for none.
    pub reserve: u64,
    /// The largest segment, whatever a topic asks for.
    pub segment_max: u64,
    /// The largest segment of the broker's own topics.
    pub internal_segment_max: u64,
    /// What is allocated ahead of a tail at most.
    pub ahead_max: u64,
    /// The largest file of the flush journal; 0 for none.
    pub journal_file_max: u64,
}

impl Watermarks {
    /// Those of a file system of `total_bytes`.
    pub fn of(total_bytes: u64) -> Self {
        let share = |of: u64, bytes_max: u64| (total_bytes / of).min(bytes_max);
        let refuse_below = share(REFUSE_SHARE, REFUSE_BYTES_MAX);
        let warn_below = share(WARN_SHARE, WARN_BYTES_MAX);
        let reserve = match total_bytes {
            Space::UNLIMITED_BYTES => 0,
            _ => share(RESERVE_SHARE, RESERVE_BYTES_MAX),
        };
        let journal_file = total_bytes / JOURNAL_FILE_SHARE;
        let ahead = share(AHEAD_SHARE, AHEAD_BYTES_MAX).max(AHEAD_BYTES_MIN);
        Self {
            refuse_below,
            resume_from: refuse_below * 2,
            warn_below,
            ample_from: warn_below + refuse_below,
            reserve: reserve - reserve % BLOCK_BYTES,
            segment_max: (total_bytes / SEGMENT_SHARE).max(SEGMENT_BYTES_MIN),
            internal_segment_max: (total_bytes / INTERNAL_SEGMENT_SHARE)
                .max(INTERNAL_SEGMENT_BYTES_MIN),
            ahead_max: ahead - ahead % AHEAD_BYTES_MIN,
            journal_file_max: if journal_file < JOURNAL_FILE_BYTES_MIN { 0 } else { journal_file },
        }
    }

    /// The level at `available_bytes` of one that was at `before`: a level ends only well above
    /// where it began. [`Level::Exhausted`] is not a matter of what is available.
    pub fn level(&self, before: Level, available_bytes: u64) -> Level {
        let scarce_below =
            if before >= Level::Scarce { self.resume_from } else { self.refuse_below };
        let warn_below = if before >= Level::Warn { self.ample_from } else { self.warn_below };
        if available_bytes == 0 || available_bytes < scarce_below {
            Level::Scarce
        } else if available_bytes < warn_below {
            Level::Warn
        } else {
            Level::Ample
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [u64; 9] = [
        0,
        100_000,
        12 * MEBIBYTE,
        64 * MEBIBYTE,
        GIBIBYTE,
        100 * GIBIBYTE,
        1024 * GIBIBYTE,
        1 << 50,
        Space::UNLIMITED_BYTES,
    ];

    #[test]
    fn a_small_disk_is_well_usable_and_a_large_one_keeps_little_back() {
        let small = Watermarks::of(64 * MEBIBYTE);
        assert_eq!((small.refuse_below, small.resume_from), (2 * MEBIBYTE, 4 * MEBIBYTE));
        assert_eq!((small.warn_below, small.reserve), (8 * MEBIBYTE, 512 * KIBIBYTE));
        assert_eq!((small.segment_max, small.ahead_max), (4 * MEBIBYTE, 64 * KIBIBYTE));
        assert_eq!(small.journal_file_max, 0);
        let large = Watermarks::of(1024 * GIBIBYTE);
        assert_eq!((large.refuse_below, large.warn_below), (GIBIBYTE, 16 * GIBIBYTE));
        assert_eq!((large.reserve, large.ahead_max), (16 * MEBIBYTE, 64 * MEBIBYTE));
        assert!(large.segment_max > i32::MAX.unsigned_abs().into());
        assert_eq!(Watermarks::of(Space::UNLIMITED_BYTES).reserve, 0);
    }

    #[test]
    fn watermarks_of_every_size_are_in_order() {
        for marks in SIZES.map(Watermarks::of) {
            assert!(marks.refuse_below <= marks.resume_from, "{marks:?}");
            assert!(marks.resume_from <= marks.warn_below, "{marks:?}");
            assert!(marks.warn_below <= marks.ample_from, "{marks:?}");
            // Taken again within what records may not have.
            assert!(marks.reserve * 4 <= marks.refuse_below, "{marks:?}");
            assert!(marks.ahead_max >= AHEAD_BYTES_MIN, "{marks:?}");
            // Both of its files leave room for much more than they take.
            assert!(
                marks.journal_file_max * 2 <= marks.warn_below
                    || marks.warn_below == WARN_BYTES_MAX
            );
        }
    }

    #[test]
    fn a_level_ends_well_above_where_it_began() {
        let marks = Watermarks::of(64 * MEBIBYTE);
        let mut level = Level::Ample;
        for (available_mebibytes, expected) in [
            (60, Level::Ample),
            (8, Level::Ample),
            (7, Level::Warn),
            (9, Level::Warn),
            (2, Level::Warn),
            (1, Level::Scarce),
            (3, Level::Scarce),
            (4, Level::Warn),
            (1, Level::Scarce),
            (9, Level::Warn),
            (10, Level::Ample),
            (0, Level::Scarce),
            (64, Level::Ample),
        ] {
            level = marks.level(level, available_mebibytes * MEBIBYTE);
            assert_eq!(level, expected, "{available_mebibytes} MiB");
        }
    }

    #[test]
    fn nothing_available_is_scarce_whatever_the_size() {
        for total_bytes in SIZES {
            assert_eq!(Watermarks::of(total_bytes).level(Level::Ample, 0), Level::Scarce);
        }
    }
}
