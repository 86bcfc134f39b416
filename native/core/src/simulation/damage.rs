//! Bits that flip in what is durable, and scrubbing, which has to find them.

use std::{collections::BTreeMap, ops::Range, path::PathBuf, sync::Arc};

use super::{
    batches::RecordId,
    machine::{Simulation, Violation},
    model::Fate,
    reading::read_all,
};
use crate::{
    batch::BatchHeader,
    env::{
        FileSystem, OpenMode,
        transfer::{read_whole, write_full},
    },
    log::{Log, read::Read},
    recovery::place::{Misplaced, Placed, misplaced},
    registry::Store,
};

/// Bytes of a header that no checksum covers and nothing can tell to be wrong: the leader epoch.
const LEADER_EPOCH: Range<u64> = 12..16;

/// Where compaction may have taken offsets out, a wrong base offset may go unnoticed.
const BASE_OFFSET: Range<u64> = 0..8;

/// Where a batch lies in a closed segment.
pub(super) struct Place {
    pub(super) path: PathBuf,
    position: u64,
    bytes: u64,
    has_holes: bool,
}

/// A bit that may flip.
pub(super) struct Target {
    topic: usize,
    partition: usize,
    /// Of its batch.
    offsets: Range<u64>,
    pub(super) place: Place,
    at: u64,
    bit: u64,
}

/// What was harmed, where, and what there was to read before.
struct Harm<'a> {
    label: &'a str,
    offsets: Range<u64>,
    content: BTreeMap<u64, RecordId>,
}

impl Simulation {
    /// Reads on a little, as the thread does that scrubs.
    pub(super) fn scrub(&mut self) -> Result<(), Violation> {
        let bytes_max = self.dice.pick(&[1, 500, 3000, 1 << 20]);
        let step = self.store().scrub_step(bytes_max);
        self.note(format!("scrub: {step:?}"));
        self.figures.scrubbed_bytes += step.map_or(0, |step| step.bytes);
        self.check_nothing_is_found()
    }

    /// Flips one bit of a batch that was acked, in a closed segment, and has it found.
    pub(super) fn flip_a_bit(&mut self) -> Result<(), Violation> {
        if self.may_fail {
            return Ok(());
        }
        let Some(target) = self.any_target() else {
            return Ok(());
        };
        let store = self.store();
        let log = store.log(self.topics[target.topic].number, target.partition as u32).unwrap();
        let content = read_all(&log, store.shared()).unwrap()?;
        self.harm(&target);
        self.check_nothing_is_found()?;
        self.find(&Harm { label: &log.label, offsets: target.offsets, content })
    }

    /// A bit of a batch that was acked and lies in a closed segment, if there is one.
    pub(super) fn any_target(&mut self) -> Option<Target> {
        let (topic_index, index) = self.any_partition();
        let topic = &self.topics[topic_index];
        let store = self.store();
        let log = store.log(topic.number, index as u32).unwrap();
        let partition = &topic.partitions[index];
        let acked: Vec<_> = partition
            .attempts
            .values()
            .filter_map(|attempt| match attempt.fate {
                Fate::Acked { base_offset } => Some((base_offset, attempt.spec.record_count)),
                _ => None,
            })
            .filter(|(base_offset, _)| !partition.is_harmed(*base_offset))
            .collect();
        if acked.is_empty() {
            return None;
        }
        let (base_offset, record_count) = self.dice.pick(&acked);
        let place = place_of(&store, &log, base_offset)?;
        let at = self.dice.within(0..place.bytes);
        let bit = self.dice.within(0..8);
        let is_noticed = !LEADER_EPOCH.contains(&at)
            && (!BASE_OFFSET.contains(&at) || self.is_told(&place, at, bit));
        let offsets = base_offset..base_offset + u64::from(record_count);
        let target = Target { topic: topic_index, partition: index, offsets, place, at, bit };
        is_noticed.then_some(target)
    }

    /// Flips a bit on the disk.
    pub(super) fn harm(&mut self, target: &Target) {
        let Target { topic, partition, offsets, place, at, bit } = target;
        self.note(format!("bit {bit} of byte {at} of the batch at {offsets:?} flips"));
        self.figures.flipped_bits += 1;
        let file = self.files.open(&place.path, OpenMode::ReadWrite).unwrap();
        let mut byte = [0];
        file.read_at(&mut byte, place.position + at).unwrap();
        byte[0] ^= 1 << bit;
        write_full(&*file, &[&byte], place.position + at).unwrap();
        file.sync_data().unwrap();
        self.topics[*topic].partitions[*partition].harm(offsets.clone());
    }

    /// Whether a bit that flips in a base offset tells of itself, and of no other batch: where
    /// there may be holes it does not if it still fits between its neighbours, nor if one of these
    /// could be the one that is wrong.
    fn is_told(&self, place: &Place, at: u64, bit: u64) -> bool {
        if !place.has_holes {
            return true;
        }
        let bytes = read_whole(&self.files, &place.path, u64::MAX).unwrap().unwrap();
        let (mut batches, mut position, mut index) = (Vec::new(), 0, usize::MAX);
        while let Ok(header) = BatchHeader::read(&bytes[position..]) {
            if position as u64 == place.position {
                index = batches.len();
            }
            batches.push(Placed::of(&header).unwrap());
            position += header.batch_bytes();
        }
        let is_whole = batches.is_sorted_by(|before, behind| before.end() <= behind.base_offset);
        let around = index.checked_sub(2).and_then(|start| batches.get(start..=index + 2));
        let Some(&[before_last, before, mut batch, behind, last]) = around.filter(|_| is_whole)
        else {
            return false;
        };
        batch.base_offset ^= 1 << (8 * (7 - at) + bit);
        let is_before_whole = before.base_offset == before_last.end()
            || misplaced(before_last.end(), before, batch, behind.base_offset)
                .is_none_or(|misplaced| misplaced == Misplaced::Second);
        let is_out_of_place = batch.base_offset < before.end()
            || misplaced(before.end(), batch, behind, last.base_offset) == Some(Misplaced::First);
        is_before_whole && is_out_of_place
    }

    /// Scrubs a whole round, which has to report what was harmed and nothing else that was there:
    /// batches that are damaged one behind the other are one range, with the holes between them.
    fn find(&mut self, Harm { label, offsets, content }: &Harm<'_>) -> Result<(), Violation> {
        let mut rounds = 0;
        // The one that is under way may be past it.
        while rounds < 2 {
            let step = self.store().scrub_step(2000).unwrap();
            self.figures.scrubbed_bytes += step.bytes;
            rounds += u32::from(step.is_round_over);
        }
        let found = self.store().take_upkeep_report();
        let is_right = |detail: &str| {
            let told = offsets_told(detail);
            told.contains(&offsets.start)
                && told.contains(&(offsets.end - 1))
                && content.range(told).all(|(offset, _)| offsets.contains(offset))
        };
        match &found[..] {
            [entry] if entry.subject == *label && is_right(&entry.detail) => Ok(()),
            _ => Err(Violation::Altered(format!("{label} {offsets:?} harmed, found: {found:?}"))),
        }
    }

    fn check_nothing_is_found(&mut self) -> Result<(), Violation> {
        let found = self.store().take_upkeep_report();
        match found.iter().find(|entry| entry.detail.contains("are damaged")) {
            Some(entry) => Err(Violation::Altered(format!("{entry:?}, and nothing flipped"))),
            None => Ok(()),
        }
    }
}

/// Of `offsets 3 to 5 are damaged...`.
fn offsets_told(detail: &str) -> Range<u64> {
    let words: Vec<_> = detail.split(' ').collect();
    match words[..] {
        ["offsets", from, "to", to, ..] => from.parse().unwrap()..to.parse().unwrap(),
        _ => 0..0,
    }
}

/// Where the batch that begins at an offset lies, if that is in a closed segment. Compaction may
/// have left nothing of it to read: what is found then is a later one.
fn place_of(store: &Store, log: &Arc<Log>, offset: u64) -> Option<Place> {
    loop {
        match log.read(offset, 1).unwrap() {
            Read::Cold(range) => range.load(store.shared()).unwrap(),
            Read::Batches(batches) if batches.segment.is_sealed() => {
                let range = &batches.range;
                let header = BatchHeader::read(batches.bytes()).unwrap();
                return (u64::try_from(header.base_offset) == Ok(offset)).then(|| Place {
                    path: batches.segment.log_path(),
                    position: batches.window.start + range.start as u64,
                    bytes: (range.end - range.start) as u64,
                    has_holes: batches.segment.has_holes(),
                });
            }
            _ => return None,
        }
    }
}
