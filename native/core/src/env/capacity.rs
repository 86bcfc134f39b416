//! How much the files of a file system in memory may take, counted in pages as disks count blocks.

use std::{collections::BTreeMap, io, sync::Arc};

use parking_lot::Mutex;

use super::Space;

/// What files take space in.
const PAGE_BYTES: u64 = 4096;

/// The space of one file system, shared by its files.
pub(super) struct Capacity {
    state: Mutex<State>,
}

struct State {
    limit_bytes: Option<u64>,
    used_pages: u64,
    /// Others have taken all that was free.
    is_filled: bool,
}

impl Capacity {
    /// A file system of `limit_bytes`, rounded down to whole pages; without a limit when `None`.
    pub(super) fn new(limit_bytes: Option<u64>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { limit_bytes, used_pages: 0, is_filled: false }) })
    }

    /// Has others take all that is free, or give it back. While they have it, what files give up is
    /// theirs, too.
    pub(super) fn set_filled(&self, is_filled: bool) {
        self.state.lock().is_filled = is_filled;
    }

    /// Changes the limit, also to less than what is in use: then nothing fits until files go.
    #[cfg(any(test, feature = "simulation"))]
    pub(super) fn set_limit_bytes(&self, limit_bytes: Option<u64>) {
        self.state.lock().limit_bytes = limit_bytes;
    }

    /// The limit, when there is one.
    #[cfg(any(test, feature = "simulation"))]
    pub(super) fn limit_bytes(&self) -> Option<u64> {
        self.state.lock().limit_bytes
    }

    /// The limit as total, [`Space::UNLIMITED_BYTES`] when there is none.
    pub(super) fn space(&self) -> Space {
        let state = self.state.lock();
        let total_bytes = state.limit_bytes.unwrap_or(Space::UNLIMITED_BYTES);
        let used_bytes = state.used_pages.saturating_mul(PAGE_BYTES);
        let available_bytes =
            if state.is_filled { 0 } else { total_bytes.saturating_sub(used_bytes) };
        Space { total_bytes, available_bytes }
    }

    fn take(&self, pages: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let wanted = state.used_pages.saturating_add(pages);
        let is_beyond = state.limit_bytes.is_some_and(|limit| wanted > limit / PAGE_BYTES);
        if pages > 0 && (state.is_filled || is_beyond) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.used_pages = wanted;
        Ok(())
    }

    fn give_back(&self, pages: u64) {
        let mut state = self.state.lock();
        state.used_pages = state.used_pages.saturating_sub(pages);
    }
}

/// The pages that one file takes; given back when dropped.
pub(super) struct Charge {
    capacity: Arc<Capacity>,
    /// First page to the page behind the last of each run; runs neither touch nor overlap.
    runs: Mutex<BTreeMap<u64, u64>>,
}

impl Charge {
    pub(super) fn new(capacity: &Arc<Capacity>) -> Self {
        Self { capacity: Arc::clone(capacity), runs: Mutex::default() }
    }

    /// Takes the pages of the range that the file does not have yet: all of them or none.
    ///
    /// # Errors
    /// `StorageFull` when they do not fit.
    pub(super) fn cover(&self, position: u64, bytes: u64) -> io::Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        let mut first = position / PAGE_BYTES;
        let mut end = position.saturating_add(bytes).div_ceil(PAGE_BYTES);
        let mut runs = self.runs.lock();
        let touching: Vec<(u64, u64)> = runs
            .range(..=end)
            .rev()
            .take_while(|(_, run_end)| **run_end >= first)
            .map(|(run_first, run_end)| (*run_first, *run_end))
            .collect();
        let wanted = end - first;
        let present: u64 = touching
            .iter()
            .map(|(run_first, run_end)| (*run_end).min(end).saturating_sub((*run_first).max(first)))
            .sum();
        self.capacity.take(wanted - present)?;
        for (run_first, run_end) in touching {
            runs.remove(&run_first);
            first = first.min(run_first);
            end = end.max(run_end);
        }
        runs.insert(first, end);
        Ok(())
    }

    /// Gives back every page that lies whole behind the first `bytes`.
    pub(super) fn cut(&self, bytes: u64) {
        let kept = bytes.div_ceil(PAGE_BYTES);
        let mut runs = self.runs.lock();
        let mut given_back = 0;
        while let Some((first, end)) = runs.last_key_value().map(|(first, end)| (*first, *end)) {
            if end <= kept {
                break;
            }
            runs.remove(&first);
            if first < kept {
                runs.insert(first, kept);
            }
            given_back += end - first.max(kept);
        }
        self.capacity.give_back(given_back);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.cut(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used_bytes(capacity: &Capacity) -> u64 {
        let space = capacity.space();
        space.total_bytes - space.available_bytes
    }

    #[test]
    fn overlapping_ranges_are_counted_once_and_given_back_whole() {
        let capacity = Capacity::new(Some(100 * PAGE_BYTES));
        let charge = Charge::new(&capacity);
        charge.cover(0, 1).unwrap();
        charge.cover(3 * PAGE_BYTES, 2 * PAGE_BYTES).unwrap();
        assert_eq!(used_bytes(&capacity), 3 * PAGE_BYTES);
        charge.cover(1, 4 * PAGE_BYTES).unwrap();
        assert_eq!(used_bytes(&capacity), 5 * PAGE_BYTES);
        charge.cut(PAGE_BYTES + 1);
        assert_eq!(used_bytes(&capacity), 2 * PAGE_BYTES);
        drop(charge);
        assert_eq!(used_bytes(&capacity), 0);
    }

    #[test]
    fn what_others_fill_has_room_for_what_has_its_pages_already() {
        let capacity = Capacity::new(None);
        let charge = Charge::new(&capacity);
        charge.cover(0, PAGE_BYTES).unwrap();
        capacity.set_filled(true);
        assert_eq!(capacity.space().available_bytes, 0);
        charge.cover(0, PAGE_BYTES).unwrap();
        let error = charge.cover(PAGE_BYTES, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        capacity.set_filled(false);
        charge.cover(PAGE_BYTES, 1).unwrap();
    }

    #[test]
    fn a_range_that_does_not_fit_takes_nothing() {
        let capacity = Capacity::new(Some(2 * PAGE_BYTES));
        let charge = Charge::new(&capacity);
        charge.cover(0, PAGE_BYTES).unwrap();
        let error = charge.cover(0, 3 * PAGE_BYTES).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(used_bytes(&capacity), PAGE_BYTES);
        charge.cover(PAGE_BYTES, PAGE_BYTES).unwrap();
    }
}
