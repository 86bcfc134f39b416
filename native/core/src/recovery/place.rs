//! Which of two batches has a wrong base offset, where offsets may be missing between them.
//!
//! No checksum covers a base offset. Where compaction took offsets out, one that is too large looks
//! like one behind a hole; only the batch behind it, which begins too early then, tells of it.

use crate::batch::BatchHeader;

/// The offsets that a whole batch says it has. Their count is covered by its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Offset of the first.
    pub base_offset: u64,
    /// How many.
    pub count: u64,
}

impl Placed {
    /// The offsets of a batch; `None` where its header cannot be one.
    pub fn of(header: &BatchHeader) -> Option<Self> {
        let base_offset = u64::try_from(header.base_offset).ok()?;
        let count = u64::try_from(i64::from(header.last_offset_delta) + 1).ok()?;
        Some(Self { base_offset, count })
    }

    /// Offset behind the last.
    pub fn end(&self) -> u64 {
        self.base_offset.saturating_add(self.count)
    }

    /// How well it would fit into some offsets with another base offset.
    fn fit(&self, from: u64, to: u64) -> Fit {
        let Some(last) = to.checked_sub(self.count).filter(|last| *last >= from) else {
            return Fit::None;
        };
        let is_near =
            (0..u64::BITS).any(|bit| (from..=last).contains(&(self.base_offset ^ (1 << bit))));
        if is_near { Fit::OneBit } else { Fit::Any }
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    None,
    Any,
    /// With one bit of its base offset flipped.
    OneBit,
}

/// Whose base offset is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misplaced {
    /// The first batch's.
    First,
    /// The second one's.
    Second,
    /// Nothing tells which: neither may be served under the offsets that it has.
    Either,
}

/// Which of two whole batches, one behind the other, cannot be where its base offset has it: the
/// first has room from `from` on, the second to `to`. `None` where the offsets do not overlap.
pub fn misplaced(from: u64, first: Placed, second: Placed, to: u64) -> Option<Misplaced> {
    if second.base_offset >= first.end() {
        return None;
    }
    let (first_fit, second_fit) =
        (first.fit(from, second.base_offset), second.fit(first.end(), to));
    Some(match first_fit.cmp(&second_fit) {
        std::cmp::Ordering::Greater => Misplaced::First,
        std::cmp::Ordering::Equal if first_fit != Fit::None => Misplaced::Either,
        _ => Misplaced::Second,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_where_the_other_leaves_room_is_misplaced() {
        let placed = |base_offset, count| Placed { base_offset, count };
        let cases = [
            // One flipped bit took the first far ahead.
            (500, placed(500 + (1 << 16), 10), placed(600, 5), 700, Some(Misplaced::First)),
            (480, placed(480 + 16, 10), placed(500, 5), 510, Some(Misplaced::First)),
            // The second is behind by one bit, and the first has no room before it.
            (500, placed(520, 10), placed(4, 5), 700, Some(Misplaced::Second)),
            (500, placed(520, 10), placed(508, 5), 700, Some(Misplaced::Second)),
            // Both have room, by a bit each.
            (500, placed(520, 10), placed(524, 1), 2000, Some(Misplaced::Either)),
            (500, placed(520, 10), placed(530, 1), 2000, None),
        ];
        for (from, first, second, to, expected) in cases {
            assert_eq!(misplaced(from, first, second, to), expected, "{first:?} {second:?}");
        }
    }
}
