//! What a compaction has to leave as it is, and what becomes of it later.

use std::{cell::Cell, sync::Weak};

use super::{
    compaction::{Meanwhile, Table, compacted, left},
    *,
};
use crate::{
    compaction::throttle::Unpaced,
    env::simulated::Call,
    recovery::repair::{RepairOptions, repair},
    segment::Segment,
};

/// Compacted whenever anything is dirty.
fn eager() -> LogConfig {
    LogConfig { dirty_ratio_min: 0.0, ..compacted() }
}

/// Fills segments with what nobody asks for and compacts, until tombstones had the time to go.
fn compact_often(bench: &Bench) {
    for _ in 0..3 {
        for _ in 0..20 {
            bench.put(&[(200, Some(1))]);
        }
        bench.compact();
    }
}

/// Puts changes until a new segment is begun.
fn fill_segment(bench: &Bench) {
    let segments = bench.segment_count();
    while bench.segment_count() == segments {
        bench.put(&[(200, Some(1))]);
    }
}

fn is_readable(bench: &Bench, key: u8) -> bool {
    let table = read_around(bench);
    table.values().any(|(of, value)| *of == key && value.is_some())
}

/// What can be read, with gaps left out.
fn read_around(bench: &Bench) -> Table {
    let log = bench.log(0);
    let mut table = Table::new();
    let mut next = log.offsets().log_start;
    loop {
        if let Read::Gap { to_offset } = log.read(next, 200).unwrap() {
            next = to_offset;
        }
        let Some((changes, next_offset)) = bench.read_at(next) else {
            return table;
        };
        table.extend(changes);
        next = next_offset;
    }
}

#[test]
fn a_deleted_key_stays_deleted_when_a_damaged_segment_is_repaired() {
    // The value lies in the damaged segment, or the tombstone does.
    for damaged in 0..2 {
        let machine = Simulated::new(&eager());
        for change in [(1, Some(1)), (1, None)] {
            machine.bench.put(&[(100, Some(1))]);
            machine.bench.put(&[change]);
            fill_segment(&machine.bench);
        }
        let path = machine.bench.log(0).segments.read()[damaged].log_path();
        flip(&machine.files, &path, HEADER_BYTES as u64 + 3);
        let pass = machine.bench.compact();
        assert_eq!((pass.segments_left, pass.is_complete), (1, true));
        compact_often(&machine.bench);
        let machine = machine.killed(|files| {
            let options =
                RepairOptions { salvage_name: "one".to_owned(), ..RepairOptions::default() };
            let report = repair(&files.env(), Path::new(DIRECTORY), &options).unwrap();
            assert!(!report.actions.is_empty());
        });
        compact_often(&machine.bench);
        assert!(!is_readable(&machine.bench, 1), "segment {damaged} was damaged");
        // Nor does anything keep the tombstone now.
        let table = machine.bench.table();
        assert!(!table.values().any(|(key, _)| *key == 1), "segment {damaged} was damaged");
    }
}

#[test]
fn a_segment_that_cannot_be_read_is_left_and_the_rest_is_compacted() {
    let machine = Simulated::new(&eager());
    machine.bench.put(&[(77, Some(1))]);
    fill_segment(&machine.bench);
    machine.bench.put(&[(77, None)]);
    let all = machine.bench.fill(40);
    let end = machine.bench.active_base();
    let bad = segment_path(0, "log").file_name().unwrap().to_str().unwrap().to_owned();
    let fault = Fault::new(Effect::InputOutput).on(Call::Read).with_path(&bad).times(u64::MAX);
    machine.files.inject(fault);
    let pass = machine.bench.compact();
    assert_eq!((pass.segments_left, pass.dirty_to, pass.is_complete), (1, end, true));
    let reports = machine.bench.store.take_upkeep_report();
    let is_told = |entry: &crate::registry::upkeep::UpkeepEntry| {
        entry.is_warning && entry.detail.contains(&bad)
    };
    assert!(reports.iter().any(is_told), "{reports:?}");
    compact_often(&machine.bench);
    // What is readable again may hold what tombstones hide.
    machine.files.clear_faults();
    compact_often(&machine.bench);
    let machine = machine.killed(|_| {});
    compact_often(&machine.bench);
    assert!(!is_readable(&machine.bench, 77));
    let table = machine.bench.table();
    let wanted = left(&all, u64::MAX, true);
    assert!(wanted.iter().filter(|(_, c)| c.1.is_some()).all(|(at, c)| table.get(at) == Some(c)));
}

#[test]
fn deleting_what_lies_at_the_start_does_not_end_a_pass() {
    let mut is_deleted_often = 0;
    for call in 1..40 {
        let machine = Simulated::new(&compacted());
        let all = machine.bench.fill(60);
        let end = machine.bench.active_base();
        let start = machine.bench.log(0).segments.read()[3].base_offset;
        let delete = || assert!(machine.bench.log(0).delete_records(Some(start)).is_ok());
        let meanwhile = Meanwhile { calls_left: Cell::new(call), act: &delete };
        let pass = machine.bench.compact_at(&meanwhile).unwrap().unwrap();
        assert!(pass.is_complete && pass.dirty_to == end, "at call {call}: {pass:?}");
        is_deleted_often += u64::from(machine.bench.log(0).offsets().log_start == start);
        let from = machine.bench.log(0).offsets().log_start;
        let expected = left(&all, end, true).split_off(&from);
        assert_eq!(machine.bench.table(), expected, "at call {call}");
    }
    assert!(is_deleted_often > 5);
}

#[test]
fn segments_are_given_up_as_soon_as_others_have_their_places() {
    let machine = Simulated::new(&compacted());
    machine.bench.fill(200);
    let log = machine.bench.log(0);
    let before: Vec<Weak<Segment>> = log.segments.read().iter().map(Arc::downgrade).collect();
    let held_max = Cell::new(0);
    let look = || {
        let in_log = log.segments.read().len();
        let held = before.iter().filter(|segment| segment.strong_count() > 0).count();
        held_max.set(held_max.get().max(held.saturating_sub(in_log)));
    };
    for call in 1..200 {
        machine.bench.put(&[(1, Some(call))]);
    }
    assert!(machine.bench.compact_at(&Watching { look: &look }).unwrap().unwrap().is_complete);
    let left = before.iter().filter(|segment| segment.strong_count() > 0).count();
    assert!(left <= 1 && held_max.get() < before.len() / 2, "{left}, {}", held_max.get());
}

/// Looks whenever the pass has read or written anything.
struct Watching<'a> {
    look: &'a dyn Fn(),
}

impl crate::compaction::throttle::Pace for Watching<'_> {
    fn spent(&self, _bytes: u64) -> bool {
        (self.look)();
        false
    }
}

#[test]
fn a_swap_that_fails_leaves_no_segment_with_a_file_of_its_own() {
    let machine = Simulated::new(&compacted());
    let all = machine.bench.fill(60);
    let fault = Fault::new(Effect::InputOutput).on(Call::Rename).with_path("compaction.json");
    machine.files.inject(fault);
    machine.bench.compact_at(&Unpaced).unwrap_err();
    machine.files.clear_faults();
    let log = machine.bench.log(0);
    assert!(log.segments.read().iter().all(|segment| !segment.is_pinned()));
    assert_eq!(machine.bench.table(), all);
}
