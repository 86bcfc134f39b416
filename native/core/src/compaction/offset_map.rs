//! The last offset of every key of a part of a log, in bounded memory.
//!
//! Keys are told apart by a hash of 128 bits. Its key is drawn anew for every map, so that nobody
//! can write two keys of the same hash; by chance a billion keys hold two with a probability
//! of one in 10^20.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::env::Random;

/// Memory that an entry takes, in bytes.
const ENTRY_BYTES: u64 = size_of::<Entry>() as u64;
/// Of four entries, how many are used at most: a key is then found within a few steps.
const USED_OF_FOUR_MAX: u64 = 3;

/// Two halves of the key's hash, and one more than its offset: 0 where there is no key.
type Entry = [u64; 3];

const NO_KEY: Entry = [0; 3];

/// Keys and their last offsets.
pub struct OffsetMap {
    hasher: SipHasher13,
    entries: Vec<Entry>,
    count: u64,
    count_max: u64,
}

/// There is no room for another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl OffsetMap {
    /// An empty map with room for `keys_max` keys, or as many as fit `bytes_max` of memory, but at
    /// least one.
    pub fn new(random: &dyn Random, keys_max: u64, bytes_max: u64) -> Self {
        let wanted = keys_max.saturating_mul(4).div_ceil(USED_OF_FOUR_MAX);
        let slots = wanted.min(bytes_max / ENTRY_BYTES).max(2);
        let slots = usize::try_from(slots).unwrap_or(2);
        Self {
            hasher: SipHasher13::new_with_keys(random.next_u64(), random.next_u64()),
            entries: vec![NO_KEY; slots],
            count: 0,
            count_max: (slots as u64 * USED_OF_FOUR_MAX / 4).max(1),
        }
    }

    /// Notes that a record of `key` has `offset`, which counts where it is the key's last.
    ///
    /// # Errors
    /// [`Full`] for a key that is new when there is no room for it; nothing was noted then.
    pub fn put(&mut self, key: &[u8], offset: u64) -> Result<(), Full> {
        let [low, high] = self.hash(key);
        let slot = self.slot(low, high);
        let is_new = self.entries.get(slot).is_none_or(|entry| *entry == NO_KEY);
        if is_new && self.count == self.count_max {
            return Err(Full);
        }
        let Some(entry) = self.entries.get_mut(slot) else {
            return Err(Full);
        };
        let [.., stored] = entry;
        let stored = (*stored).max(offset.saturating_add(1));
        *entry = [low, high, stored];
        self.count += u64::from(is_new);
        Ok(())
    }

    /// The last offset of a key; `None` when it was never noted.
    pub fn get(&self, key: &[u8]) -> Option<u64> {
        let [low, high] = self.hash(key);
        let [.., stored] = self.entries.get(self.slot(low, high))?;
        stored.checked_sub(1)
    }

    /// Keys in it.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether there is no key in it.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Memory that it takes, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.entries.len() as u64 * ENTRY_BYTES
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        let mut hasher = self.hasher;
        hasher.write(key);
        let hash = hasher.finish128();
        [hash.h1, hash.h2]
    }

    /// Where a key is, or would be put: there is always an entry without a key.
    fn slot(&self, low: u64, high: u64) -> usize {
        let slots = self.entries.len();
        let first = (u128::from(low) * slots as u128) >> 64;
        let first = usize::try_from(first).unwrap_or(0);
        let from_first = self.entries.iter().enumerate().skip(first);
        let found = from_first.chain(self.entries.iter().enumerate().take(first)).find(
            |(_, [other_low, other_high, stored])| {
                *stored == 0 || (*other_low == low && *other_high == high)
            },
        );
        found.map_or(slots, |(slot, _)| slot)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::env::SystemRandom;

    #[test]
    fn says_when_it_is_full_and_goes_on_with_the_keys_it_knows() {
        let mut map = OffsetMap::new(&SystemRandom, 1_000_000, 24 * 400);
        assert_eq!(map.memory_bytes(), 24 * 400);
        for key in 0..300u64 {
            map.put(&key.to_be_bytes(), key).unwrap();
        }
        assert_eq!(map.put(b"another", 300), Err(Full));
        assert_eq!((map.get(b"another"), map.len()), (None, 300));
        for key in 0..300u64 {
            map.put(&key.to_be_bytes(), key + 1000).unwrap();
            assert_eq!(map.get(&key.to_be_bytes()), Some(key + 1000));
        }
    }

    #[test]
    fn takes_no_more_memory_than_its_keys_need_and_always_one() {
        let map = OffsetMap::new(&SystemRandom, 300, 1 << 30);
        assert_eq!(map.memory_bytes(), 24 * 400);
        let mut map = OffsetMap::new(&SystemRandom, 0, 0);
        map.put(b"", 0).unwrap();
        assert_eq!((map.get(b""), map.put(b"a", 1)), (Some(0), Err(Full)));
    }

    proptest! {
        #[test]
        fn knows_the_last_offset_of_every_key(
            puts in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..3), 0..100u64),
                0..300,
            ),
        ) {
            let mut map = OffsetMap::new(&SystemRandom, 1000, u64::MAX);
            let mut model: HashMap<Vec<u8>, u64> = HashMap::new();
            for (key, offset) in puts {
                map.put(&key, offset).unwrap();
                let last = model.entry(key).or_insert(offset);
                *last = offset.max(*last);
            }
            prop_assert_eq!(map.len(), model.len() as u64);
            for (key, offset) in &model {
                prop_assert_eq!(map.get(key), Some(*offset));
            }
            prop_assert_eq!(map.get(b"no such key"), None);
        }
    }
}
