mod base_offsets;

use std::{cell::Cell, collections::BTreeMap};

use super::*;
use crate::{
    batch::BatchHeader,
    compaction::{
        state::{self, CompactionState, Stored},
        throttle::{Pace, Unpaced},
    },
    env::{
        OpenMode,
        simulated::Call,
        transfer::{read_whole, write_full},
    },
    log::compact::Pass,
    recovery::{RecoveryEvent, verify::verify_data_directory},
    registry::format::FORMAT_VERSION_COMPACTED,
};

const KEYS_BYTES: u64 = 1 << 20;

/// A key and its value; `None` is a tombstone.
pub(super) type Change = (u8, Option<u32>);
/// What can be read, by offset.
pub(super) type Table = BTreeMap<u64, Change>;

pub(super) fn compacted() -> LogConfig {
    LogConfig {
        is_compacted: true,
        segment_bytes: 600,
        delete_retention_ms: 0,
        index_interval_bytes: 100,
        ..LogConfig::default()
    }
}

fn keyed(changes: &[Change], producer: Option<Producer>) -> Vec<u8> {
    let mut output = Vec::new();
    let mut builder = BatchBuilder::new(&mut output, Codec::None, None);
    for (key, value) in changes {
        let value = value.map(u32::to_be_bytes);
        let value = value.as_ref().map(<[u8; 4]>::as_slice);
        builder.push(7, Some(&[*key]), value, std::iter::empty()).unwrap();
    }
    builder.finish(Finish { producer, log_append_time_ms: None }).unwrap();
    output
}

impl Bench {
    pub(super) fn put(&self, changes: &[Change]) -> u64 {
        let appended = self.log(0).append(&keyed(changes, None), 7).unwrap();
        self.store.drive();
        appended.base_offset
    }

    /// Puts changes to a few keys until several segments are full; returns all of them.
    pub(super) fn fill(&self, count: u32) -> Table {
        let mut table = Table::new();
        for number in 0..count {
            let key = (number * 7 % 13) as u8;
            let changes = [(key, Some(number)), (key / 2, (number % 5 > 0).then_some(number))];
            let base_offset = self.put(&changes);
            table.extend((base_offset..).zip(changes));
        }
        table
    }

    pub(super) fn table(&self) -> Table {
        let mut table = Table::new();
        let log = self.log(0);
        let mut next = log.offsets().log_start;
        while let Some((changes, next_offset)) = self.read_at(next) {
            table.extend(changes);
            next = next_offset;
        }
        table
    }

    pub(super) fn read_at(&self, offset: u64) -> Option<(Table, u64)> {
        let log = self.log(0);
        loop {
            match log.read(offset, 200).unwrap() {
                Read::Batches(batches) => {
                    return Some((changes(batches.bytes()), batches.next_offset));
                }
                Read::Cold(range) => range.load(self.store.shared()).unwrap(),
                Read::AtEnd { .. } => return None,
                Read::Gap { to_offset } => panic!("offsets {offset} to {to_offset} are a gap"),
                Read::OutOfRange { .. } => panic!("offset {offset} is out of range"),
            }
        }
    }

    pub(super) fn compact(&self) -> Pass {
        self.compact_at(&Unpaced).unwrap().unwrap()
    }

    pub(super) fn compact_at(&self, pace: &dyn Pace) -> crate::error::Result<Option<Pass>> {
        Ok(self.store.compact(KEYS_BYTES, pace)?.map(|compacted| compacted.pass))
    }

    pub(super) fn segment_count(&self) -> usize {
        self.log(0).segments.read().len()
    }

    pub(super) fn active_base(&self) -> u64 {
        self.log(0).segments.read().last().unwrap().base_offset
    }
}

fn changes(mut bytes: &[u8]) -> Table {
    let mut table = Table::new();
    while !bytes.is_empty() {
        let header = BatchHeader::read(bytes).unwrap();
        let (batch, rest) = bytes.split_at(header.batch_bytes());
        for record in Records::new(&batch[HEADER_BYTES..], header.record_count) {
            let record = record.unwrap();
            let offset =
                u64::try_from(header.base_offset + i64::from(record.offset_delta)).unwrap();
            let value = record.value.map(|value| u32::from_be_bytes(value.try_into().unwrap()));
            table.insert(offset, (record.key.unwrap()[0], value));
        }
        bytes = rest;
    }
    table
}

/// What is left of `all` when everything before `end` was compacted.
pub(super) fn left(all: &Table, end: u64, with_tombstones: bool) -> Table {
    let last: BTreeMap<u8, u64> =
        all.range(..end).map(|(offset, (key, _))| (*key, *offset)).collect();
    let stays = |offset: &u64, (key, value): &Change| {
        *offset >= end || (last[key] == *offset && (with_tombstones || value.is_some()))
    };
    all.iter().filter(|(offset, change)| stays(offset, change)).map(|(o, c)| (*o, *c)).collect()
}

/// What a check finds after the power has failed.
fn findings(machine: Simulated) -> Vec<String> {
    let files = machine.files.crash_keeping_nothing().unwrap();
    let report = verify_data_directory(&files.env(), Path::new(DIRECTORY), None).unwrap();
    report.findings.into_iter().map(|finding| finding.detail).collect()
}

fn stored_state(files: &dyn FileSystem) -> CompactionState {
    let directory = segment_path(0, "log").parent().unwrap().to_owned();
    match state::load(files, &directory).unwrap() {
        Stored::State(state) => state,
        Stored::Unreadable => panic!("compaction.json cannot be read"),
    }
}

#[test]
fn of_each_key_the_last_value_stays_under_its_offset_whatever_happens_to_the_process() {
    let machine = Simulated::new(&compacted());
    let all = machine.bench.fill(60);
    let (segments, end) = (machine.bench.segment_count(), machine.bench.active_base());
    let pass = machine.bench.compact();
    assert!(pass.is_complete && (pass.dirty_from, pass.dirty_to) == (0, end));
    assert_eq!(pass.segments_before as usize, segments - 1);
    assert_eq!(pass.counts.records_before, end);
    let expected = left(&all, end, true);
    assert_eq!(machine.bench.table(), expected);
    let before_end = expected.range(..end);
    assert_eq!(pass.counts.records_after as usize, before_end.clone().count());
    assert_eq!(pass.counts.tombstones as usize, before_end.filter(|(_, c)| c.1.is_none()).count());
    // Nothing is dirty any more.
    assert_eq!(machine.bench.compact_at(&Unpaced).unwrap(), None);
    let clean =
        CompactionState { holes_below: end, clean_below: end, ..CompactionState::default() };
    assert_eq!(stored_state(&machine.files), clean);
    // From every offset on a reader finds the next one that is there.
    for offset in 0..machine.bench.log(0).high_watermark() {
        let (found, _) = machine.bench.read_at(offset).unwrap();
        let next = expected.range(offset..).next();
        assert_eq!(found.range(offset..).next().or(next), next, "from {offset}");
    }
    let machine = machine.killed(|_| {});
    assert_eq!((machine.bench.report(), machine.bench.table()), (vec![], expected.clone()));
    let machine = machine.cut();
    assert_eq!((machine.bench.report(), machine.bench.table()), (vec![], expected.clone()));
    // Nor without any index.
    let machine = machine.killed(|files| {
        for entry in files.list(segment_path(0, "log").parent().unwrap()).unwrap() {
            if entry.name.ends_with("index") {
                let path = segment_path(0, "log").with_file_name(entry.name);
                files.remove_file(&path).unwrap();
            }
        }
    });
    assert_eq!((machine.bench.report(), machine.bench.table()), (vec![], expected));
    let format = read_whole(&machine.files, &Path::new(DIRECTORY).join("format.json"), 4096);
    let version = format!("\"format_version\":{FORMAT_VERSION_COMPACTED}");
    assert!(String::from_utf8(format.unwrap().unwrap()).unwrap().contains(&version));
    assert_eq!(findings(machine), [""; 0]);
}

#[test]
fn tombstones_go_in_a_second_pass_and_what_they_hid_stays_hidden() {
    let machine = Simulated::new(&LogConfig { dirty_ratio_min: 0.0, ..compacted() });
    let mut all = Table::new();
    let mut put = |bench: &Bench, change: Change| {
        all.insert(bench.put(&[change]), change);
        all.clone()
    };
    for key in 0..20 {
        put(&machine.bench, (key, Some(1)));
        put(&machine.bench, (key / 2 + 100, None));
        put(&machine.bench, (key, None));
    }
    for number in 0..20 {
        put(&machine.bench, (200, Some(number)));
    }
    let first = machine.bench.compact();
    assert_eq!(first.counts.tombstones, 30);
    let mut passes = vec![first];
    for round in 0..2 {
        for number in 0..20 {
            put(&machine.bench, (201 + round, Some(number)));
        }
        passes.push(machine.bench.compact());
    }
    let all = put(&machine.bench, (210, None));
    let end = passes[2].dirty_to;
    assert_eq!(passes[1].counts.tombstones, 0);
    let expected: Table =
        left(&all, end, true).into_iter().filter(|(o, c)| *o >= end || c.1.is_some()).collect();
    assert_eq!(machine.bench.table(), expected);
    let machine = machine.killed(|_| {});
    assert_eq!((machine.bench.report(), machine.bench.table()), (vec![], expected));
}

#[test]
fn a_reader_in_the_middle_of_a_replaced_segment_goes_on() {
    let machine = Simulated::new(&compacted());
    let all = machine.bench.fill(40);
    let log = machine.bench.log(0);
    // A segment that is held, its first batches mapped, and hints about where readers stopped.
    let held = Arc::clone(&log.segments.read()[1]);
    let (_, next) = machine.bench.read_at(held.base_offset).unwrap();
    let held_batches = loop {
        match log.read(held.base_offset, 200).unwrap() {
            Read::Batches(batches) => break batches,
            Read::Cold(range) => range.load(machine.bench.store.shared()).unwrap(),
            _ => panic!("nothing to read"),
        }
    };
    let before = changes(held_batches.bytes());
    let batches_held = walked(&log, &held);
    assert!(batches_held.len() > 3);
    let end = machine.bench.active_base();
    machine.bench.compact();
    assert_eq!(changes(held_batches.bytes()), before);
    let (found, _) = machine.bench.read_at(next).unwrap();
    let expected = left(&all, end, true);
    assert!(found.iter().all(|(offset, change)| expected.get(offset) == Some(change)));
    // Whoever still goes over the old segment finds what was in it.
    assert_eq!(walked(&log, &held), batches_held);
    assert_eq!(machine.bench.table(), expected);
}

fn walked(log: &Log, segment: &crate::segment::Segment) -> Vec<i64> {
    let walk = log.walk(segment, 0).unwrap();
    walk.map(|met| met.unwrap().header.base_offset).collect()
}

#[test]
fn readers_are_not_answered_with_batches_that_hold_nothing() {
    let machine = Simulated::new(&compacted());
    let mut all = Table::new();
    for number in 0..200 {
        let change = ((number % 3) as u8, Some(number));
        all.insert(machine.bench.put(&[change]), change);
    }
    let end = machine.bench.active_base();
    let pass = machine.bench.compact();
    // As many as fit in one, by what is left of them.
    assert!(pass.segments_before > 20 && pass.segments_after < pass.segments_before);
    let expected = left(&all, end, true);
    for offset in 0..end {
        let (found, _) = machine.bench.read_at(offset).unwrap();
        assert_eq!(found.first_key_value(), expected.range(offset..).next(), "from {offset}");
    }
    // Unless there is nothing else: a reader has to get to the end.
    let machine = machine.killed(|files| {
        files.remove_file(&segment_path(end, "log")).unwrap();
    });
    for _ in 0..60 {
        machine.bench.put(&[(9, None)]);
    }
    machine.bench.compact();
    machine.bench.put(&[(9, None)]);
    let config = LogConfig { dirty_ratio_min: 0.0, ..compacted() };
    machine.bench.store.configure_topic(machine.bench.topic, config).unwrap();
    let mut next = 0;
    while let Some((_, next_offset)) = machine.bench.read_at(next) {
        next = next_offset;
    }
    assert_eq!(next, machine.bench.log(0).high_watermark());
}

#[test]
fn a_missing_offset_is_damage_where_nothing_was_compacted() {
    let machine = Simulated::new(&compacted());
    machine.bench.fill(20);
    let removed = keyed(&[(0, Some(0)), (0, Some(0))], None).len();
    let (machine, offset) = {
        let log = machine.bench.log(0);
        let segment = Arc::clone(&log.segments.read()[1]);
        let first = log.walk(&segment, 0).unwrap().next().unwrap().unwrap().header.batch_bytes();
        let offset = segment.base_offset + 2;
        drop(log);
        let machine = machine.killed(|files| {
            // The second batch of a segment is cut out, as compaction would.
            let path = segment_path(offset - 2, "log");
            let mut bytes = read_whole(files, &path, 1 << 20).unwrap().unwrap();
            let second = BatchHeader::read(&bytes[first..]).unwrap().batch_bytes();
            assert!(second <= removed);
            bytes.drain(first..first + second);
            let file = files.open(&path, OpenMode::ReadWrite).unwrap();
            file.truncate(0).unwrap();
            write_full(&*file, &[&bytes], 0).unwrap();
        });
        (machine, offset)
    };
    let found: Vec<RecoveryEvent> =
        machine.bench.report().into_iter().map(|entry| entry.event).collect();
    assert!(
        matches!(found[..], [RecoveryEvent::Quarantined { from_offset, to_offset, .. }]
            if (from_offset, to_offset) == (offset, offset + 4)),
        "{found:?}"
    );
    // And so it stays: the segment is left as it is, and what is not in it.
    let end = machine.bench.active_base();
    let pass = machine.bench.compact();
    assert_eq!((pass.segments_left, pass.dirty_to), (1, end));
    let to_offset = loop {
        match machine.bench.log(0).read(offset, 100).unwrap() {
            Read::Cold(range) => range.load(machine.bench.store.shared()).unwrap(),
            Read::Gap { to_offset } => break to_offset,
            _ => panic!("the damage is not there any more"),
        }
    };
    assert_eq!(to_offset, offset + 4);
}

#[test]
fn a_topic_that_is_no_longer_compacted_stays_readable() {
    let machine = Simulated::new(&compacted());
    let all = machine.bench.fill(60);
    let end = machine.bench.active_base();
    machine.bench.compact();
    let expected = left(&all, end, true);
    let config = LogConfig { is_compacted: false, ..compacted() };
    machine.bench.store.configure_topic(machine.bench.topic, config.clone()).unwrap();
    assert_eq!(machine.bench.table(), expected);
    let Simulated { files, bench } = machine;
    let files = {
        bench.store.close().unwrap();
        drop(bench);
        files
    };
    let machine = Simulated::reopened(files, &config);
    assert_eq!((machine.bench.report(), machine.bench.table()), (vec![], expected.clone()));
    let machine = machine.cut();
    assert_eq!((machine.bench.report(), machine.bench.table()), (vec![], expected));
    assert_eq!(machine.bench.compact_at(&Unpaced).unwrap(), None);
}

#[test]
fn damage_is_left_where_it_is_and_what_lies_behind_it_is_compacted() {
    let machine = Simulated::new(&compacted());
    machine.bench.fill(60);
    let log = machine.bench.log(0);
    let damaged = Arc::clone(&log.segments.read()[2]);
    // Behind the header of its first batch: nobody has met it yet.
    flip(&machine.files, &damaged.log_path(), HEADER_BYTES as u64 + 3);
    let before = read_whole(&machine.files, &damaged.log_path(), 1 << 20).unwrap();
    let segments = machine.bench.segment_count();
    let pass = machine.bench.compact();
    assert_eq!((pass.segments_left, pass.is_complete), (1, true));
    assert_eq!(pass.segments_before as usize, segments - 2);
    assert_eq!(read_whole(&machine.files, &damaged.log_path(), 1 << 20).unwrap(), before);
    assert!(log.segments.read().iter().any(|segment| segment.id == damaged.id));
    machine.bench.store.drive();
    assert!(damaged.is_damaged());
    // Tombstones behind it may go on hiding what is in it, however often.
    let tombstone = machine.bench.put(&[(77, None)]);
    let config = LogConfig { dirty_ratio_min: 0.0, ..compacted() };
    machine.bench.store.configure_topic(machine.bench.topic, config).unwrap();
    for _ in 0..3 {
        for _ in 0..20 {
            machine.bench.put(&[(200, Some(1))]);
        }
        machine.bench.compact();
        let (found, _) = machine.bench.read_at(tombstone).unwrap();
        assert_eq!(found.get(&tombstone), Some(&(77, None)));
    }
}

/// Does something the first time that the pass has read or written anything from a call on.
pub(super) struct Meanwhile<'a> {
    pub(super) calls_left: Cell<u64>,
    pub(super) act: &'a dyn Fn(),
}

impl Pace for Meanwhile<'_> {
    fn spent(&self, _bytes: u64) -> bool {
        self.calls_left.set(self.calls_left.get().wrapping_sub(1));
        if self.calls_left.get() == 0 {
            (self.act)();
        }
        false
    }
}

#[test]
fn appends_deletions_and_changes_of_configuration_go_on_while_a_pass_is_under_way() {
    for call in 1..40 {
        let machine = Simulated::new(&compacted());
        let mut all = machine.bench.fill(60);
        let end = machine.bench.active_base();
        let added = Cell::new(0);
        let append = || added.set(machine.bench.put(&[(250, Some(1))]));
        machine.bench.compact_at(&Meanwhile { calls_left: Cell::new(call), act: &append }).unwrap();
        if added.get() > 0 {
            all.insert(added.get(), (250, Some(1)));
        }
        assert_eq!(machine.bench.table(), left(&all, end, true));

        let machine = Simulated::new(&compacted());
        let all = machine.bench.fill(60);
        let start = machine.bench.log(0).segments.read()[3].base_offset + 1;
        let delete = || assert!(machine.bench.log(0).delete_records(Some(start)).is_ok());
        machine.bench.compact_at(&Meanwhile { calls_left: Cell::new(call), act: &delete }).unwrap();
        let wanted = left(&all, all.len() as u64, true);
        for machine in [machine].into_iter().map(|machine| machine.killed(|_| {})) {
            let found = machine.bench.table();
            assert!(machine.bench.report().is_empty());
            let is_start = machine.bench.log(0).offsets().log_start == start;
            let from = if is_start { start } else { 0 };
            assert!(wanted.range(from..).all(|(offset, change)| found.get(offset) == Some(change)));
            assert!(found.range(from..).all(|(offset, change)| all.get(offset) == Some(change)));
        }

        let machine = Simulated::new(&compacted());
        let all = machine.bench.fill(60);
        let config = LogConfig { is_compacted: false, ..compacted() };
        let topic = machine.bench.topic;
        let change = || machine.bench.store.configure_topic(topic, config.clone()).unwrap();
        machine.bench.compact_at(&Meanwhile { calls_left: Cell::new(call), act: &change }).unwrap();
        let found = machine.bench.table();
        assert!(wanted_of(&all).all(|(offset, change)| found.get(offset) == Some(change)));

        let machine = Simulated::new(&compacted());
        machine.bench.fill(60);
        let store = Arc::clone(&machine.bench.store);
        let delete = || store.delete_topic(topic).unwrap();
        drop(machine.bench.compact_at(&Meanwhile { calls_left: Cell::new(call), act: &delete }));
    }
}

fn wanted_of(all: &Table) -> impl Iterator<Item = (&u64, &Change)> {
    let wanted = left(all, all.len() as u64, true);
    all.iter().filter(move |(offset, _)| wanted.contains_key(offset))
}

#[test]
fn a_power_cut_or_a_failure_at_any_call_of_a_pass_loses_no_value() {
    for effect in [Effect::PowerCut, Effect::NoSpace, Effect::InputOutput] {
        let mut call = 1;
        loop {
            // Segments that were compacted before, so that several become one, and others.
            let machine = Simulated::new(&LogConfig { dirty_ratio_min: 0.0, ..compacted() });
            let mut all = machine.bench.fill(25);
            machine.bench.compact();
            all.extend(machine.bench.fill(20));
            let end = machine.bench.active_base();
            let before = machine.files.calls();
            machine.files.inject(Fault::new(effect).at(call));
            let passed = machine.bench.compact_at(&Unpaced);
            let calls = machine.files.calls() - before;
            if calls < call {
                assert!(call > 60, "the pass is too short to prove anything");
                break;
            }
            machine.files.clear_faults();
            let is_known = |table: &Table| {
                wanted_of(&all)
                    .all(|(offset, change)| table.get(offset) == Some(change) || change.1.is_none())
                    && table.iter().all(|(offset, change)| all.get(offset) == Some(change))
            };
            let machine = if effect == Effect::PowerCut {
                machine
            } else {
                assert!(is_known(&machine.bench.table()), "{effect:?} at call {call}");
                if call % 2 == 0 { machine.killed(|_| {}) } else { machine }
            };
            let machine = machine.crashed(call);
            assert_eq!(machine.bench.report(), [], "{effect:?} at call {call}: {passed:?}");
            assert!(is_known(&machine.bench.table()), "{effect:?} at call {call}: {passed:?}");
            // What is left to do is done then.
            machine.bench.compact_at(&Unpaced).unwrap();
            let table = machine.bench.table();
            assert!(is_known(&table), "{effect:?} at call {call}");
            let most = left(&all, end, true);
            let is_left = |offset: &u64| most.contains_key(offset);
            assert!(table.keys().all(is_left), "{effect:?} at call {call}");
            assert_eq!(findings(machine), [""; 0], "{effect:?} at call {call}");
            call += 1;
        }
    }
}

impl Simulated {
    /// The power fails, and of what was not synced a part is left, everything or nothing.
    fn crashed(self, draw: u64) -> Self {
        let files = match draw % 4 {
            0 => self.files.crash_keeping_nothing(),
            1 => self.files.crash_keeping_all(),
            _ => self.files.crash(),
        };
        let files = files.unwrap();
        self.bench.store.shared().scheduler.close();
        self.bench.store.shared().work.close();
        Self::reopened(files, &self.bench.config)
    }
}

#[test]
fn a_pass_that_failed_harms_nobody_and_is_tried_again_later() {
    let machine = Simulated::new(&compacted());
    let all = machine.bench.fill(60);
    let end = machine.bench.active_base();
    let fault = Fault::new(Effect::NoSpace).on(Call::Write).with_path(".cleaned").times(u64::MAX);
    machine.files.inject(fault);
    assert_eq!(machine.bench.compact_at(&Unpaced).unwrap_err().code(), Code::DiskFull);
    assert_eq!(machine.bench.table(), all);
    let names = |files: &SimulatedFileSystem| {
        let listed = files.list(segment_path(0, "log").parent().unwrap()).unwrap();
        listed.into_iter().map(|entry| entry.name).collect::<Vec<_>>()
    };
    assert!(!names(&machine.files).iter().any(|name| name.ends_with("cleaned")));
    assert!(machine.bench.store.take_upkeep_report().iter().all(|entry| entry.is_warning));
    // Not at once, so that other logs have their turn.
    machine.files.clear_faults();
    assert_eq!(machine.bench.compact_at(&Unpaced).unwrap(), None);
    let machine = machine.killed(|_| {});
    machine.bench.compact();
    assert_eq!(machine.bench.table(), left(&all, end, true));
}

#[test]
fn more_keys_than_fit_memory_take_several_passes() {
    let machine = Simulated::new(&compacted());
    let mut all = Table::new();
    for number in 0..300u32 {
        let change = ((number % 100) as u8, Some(number));
        all.insert(machine.bench.put(&[change]), change);
    }
    let end = machine.bench.active_base();
    let mut passes = 0;
    // Room for 30 keys.
    while let Some(compacted) = machine.bench.store.compact(24 * 40, &Unpaced).unwrap() {
        assert!(compacted.pass.keys <= 30 && compacted.pass.is_complete);
        let found = machine.bench.table();
        assert_eq!(found, left(&all, compacted.pass.dirty_to, true));
        passes += 1;
    }
    let expected = left(&all, end, true);
    let found = machine.bench.table();
    assert!(
        passes > 2 && expected.iter().all(|(offset, change)| found.get(offset) == Some(change))
    );
}

#[test]
fn a_repetition_is_recognised_after_its_records_are_gone() {
    let machine = Simulated::new(&compacted());
    let producer = |sequence| Some(Producer { id: 9, epoch: 2, base_sequence: sequence });
    let log = machine.bench.log(0);
    let mut offsets = Vec::new();
    for sequence in 0..4 {
        let appended = log.append(&keyed(&[(1, Some(1))], producer(sequence)), 7).unwrap();
        offsets.push(appended.base_offset);
    }
    machine.bench.store.drive();
    machine.bench.fill(40);
    machine.bench.put(&[(1, Some(2))]);
    machine.bench.fill(40);
    machine.bench.compact();
    drop(log);
    // The producers are known by what is in the log alone.
    let machine = machine.killed(|files| {
        for entry in files.list(segment_path(0, "log").parent().unwrap()).unwrap() {
            if entry.name.ends_with("snapshot") {
                let path = segment_path(0, "log").with_file_name(entry.name);
                files.remove_file(&path).unwrap();
            }
        }
    });
    assert!(!machine.bench.table().contains_key(&offsets[3]));
    let log = machine.bench.log(0);
    let again = log.append(&keyed(&[(1, Some(1))], producer(3)), 7).unwrap();
    assert_eq!((again.is_duplicate, again.base_offset), (true, offsets[3]));
    let next = log.append(&keyed(&[(1, Some(1))], producer(4)), 7).unwrap();
    assert!(!next.is_duplicate);
}

#[test]
fn epochs_end_where_they_ended_before_their_records_were_gone() {
    let mut machine = Simulated::new(&compacted());
    let first = i32::try_from(machine.bench.log(0).offsets().leader_epoch).unwrap();
    for _ in 0..4 {
        machine.bench.fill(25);
        machine = machine.killed(|_| {});
    }
    machine.bench.fill(10);
    let ends = |bench: &Bench| -> Vec<_> {
        let log = bench.log(0);
        (first..first + 5).map(|epoch| log.end_of_leader_epoch(epoch).unwrap()).collect()
    };
    let before = ends(&machine.bench);
    let pass = machine.bench.compact();
    assert!(pass.counts.records_after < pass.counts.records_before / 2);
    assert_eq!(ends(&machine.bench), before);
}

#[test]
fn records_that_are_too_new_are_left_out_and_old_ones_are_not_left_for_long() {
    // The records are of the year 1970, by their timestamps.
    let lag = LogConfig { compaction_lag_ms_min: u64::MAX, ..compacted() };
    let machine = Simulated::new(&lag);
    machine.bench.fill(60);
    assert_eq!(machine.bench.compact_at(&Unpaced).unwrap(), None);
    let (store, topic) = (&machine.bench.store, machine.bench.topic);
    let clean = LogConfig { dirty_ratio_min: 1.0, ..compacted() };
    store.configure_topic(topic, clean.clone()).unwrap();
    assert_eq!(machine.bench.compact_at(&Unpaced).unwrap(), None);
    let overdue = LogConfig { compaction_lag_ms_max: 1000, ..clean };
    store.configure_topic(topic, overdue).unwrap();
    machine.bench.compact();
    assert_eq!(machine.bench.compact_at(&Unpaced).unwrap(), None);
}

#[test]
fn nothing_is_compacted_that_is_not_durable_and_visible() {
    let config = LogConfig { flush_messages: u64::MAX, ..compacted() };
    let machine = Simulated::new(&config);
    let log = machine.bench.log(0);
    for number in 0..40 {
        log.append(&keyed(&[(1, Some(number))], None), 7).unwrap();
    }
    assert!(machine.bench.segment_count() > 3);
    assert_eq!(machine.bench.compact_at(&Unpaced).unwrap(), None);
    machine.bench.store.drive();
    machine.bench.compact();
}
