//! Base offsets that are wrong where offsets may be missing: no checksum covers them.

use super::*;
use crate::recovery::repair::{RepairOptions, repair};

/// A batch as it lies in its file.
#[derive(Debug, Clone, Copy)]
struct Lying {
    position: u64,
    base_offset: u64,
    end_offset: u64,
}

fn batches_of(files: &dyn FileSystem, path: &Path) -> Vec<Lying> {
    let bytes = read_whole(files, path, 1 << 20).unwrap().unwrap();
    let (mut batches, mut position) = (Vec::new(), 0);
    while let Ok(header) = BatchHeader::read(&bytes[position..]) {
        let base_offset = header.base_offset as u64;
        let end_offset = header.last_offset() as u64 + 1;
        batches.push(Lying { position: position as u64, base_offset, end_offset });
        position += header.batch_bytes();
    }
    batches
}

fn set_base_offset(files: &SimulatedFileSystem, path: &Path, batch: Lying, base_offset: u64) {
    let file = files.open(path, OpenMode::ReadWrite).unwrap();
    write_full(&*file, &[&base_offset.to_be_bytes()], batch.position).unwrap();
    file.sync_data().unwrap();
}

/// Whether a batch fits between its neighbours with another base offset: nothing tells of it then.
fn fits(base_offset: u64, before: Lying, batch: Lying, behind: Lying) -> bool {
    let end_offset = base_offset.saturating_add(batch.end_offset - batch.base_offset);
    before.end_offset <= base_offset && end_offset <= behind.base_offset
}

fn scrubbed(machine: &Simulated) -> Vec<String> {
    while !machine.bench.store.scrub_step(1 << 20).unwrap().is_round_over {}
    let found = machine.bench.store.take_upkeep_report();
    found.into_iter().map(|entry| entry.detail).filter(|told| told.contains("damaged")).collect()
}

fn remove_hints(files: &SimulatedFileSystem) {
    let directory = segment_path(0, "log").parent().unwrap().to_owned();
    for entry in files.list(&directory).unwrap() {
        let is_hint = ["index", "snapshot", "damage"].iter().any(|hint| entry.name.ends_with(hint));
        if is_hint {
            files.remove_file(&directory.join(entry.name)).unwrap();
        }
    }
}

/// The offsets from the log start on that are read, whatever gaps there are.
fn offsets(machine: &Simulated) -> Vec<u64> {
    let log = machine.bench.log(0);
    let (mut next, mut offsets) = (log.offsets().log_start, Vec::new());
    loop {
        match log.read(next, 1).unwrap() {
            Read::Batches(batches) => {
                offsets.extend(changes(batches.bytes()).into_keys());
                next = batches.next_offset;
            }
            Read::Cold(range) => range.load(machine.bench.store.shared()).unwrap(),
            Read::Gap { to_offset } => next = to_offset,
            Read::AtEnd { .. } => return offsets,
            Read::OutOfRange { .. } => panic!("{next} is out of range"),
        }
    }
}

/// Gives a batch every base offset that differs by a bit and does not fit its neighbours, one
/// machine each, and has it found in every way there is.
fn flip_each_bit(base: u64, index: usize, make: impl Fn() -> Simulated) {
    for bit in 0..u64::BITS {
        let machine = make();
        let path = segment_path(base, "log");
        let batches = batches_of(&machine.files, &path);
        let (before, batch, behind) = (batches[index - 1], batches[index], batches[index + 1]);
        let wrong = batch.base_offset ^ (1 << bit);
        if fits(wrong, before, batch, behind) {
            continue;
        }
        let shown = format!("bit {bit} of {batch:?} between {before:?} and {behind:?}");
        let all = offsets(&machine);
        let left: Vec<u64> = all
            .iter()
            .copied()
            .filter(|offset| !(batch.base_offset..batch.end_offset).contains(offset))
            .collect();
        assert!(left.len() < all.len(), "{shown}");
        let told = format!("offsets {} to {} are damaged", before.end_offset, behind.base_offset);
        set_base_offset(&machine.files, &path, batch, wrong);
        // A reader, whose index knows where the batch was.
        assert_eq!(offsets(&machine), left, "read: {shown}");
        // A start without anything but the log, and what it finds.
        let machine = machine.killed(remove_hints);
        let report = machine.bench.report();
        let is_told = |entry: &RecoveryEntry| {
            let range = (before.end_offset, behind.base_offset);
            matches!(entry.event, RecoveryEvent::Quarantined { from_offset, to_offset, .. }
                if (from_offset, to_offset) == range)
        };
        assert!(report.len() == 1 && is_told(&report[0]), "{report:?}: {shown}");
        assert_eq!(offsets(&machine), left, "started: {shown}");
        machine.bench.store.close().unwrap();
        let Simulated { files, bench } = machine;
        drop(bench);
        remove_hints(&files);
        let report = verify_data_directory(&files.env(), Path::new(DIRECTORY), None).unwrap();
        let details: Vec<_> = report.findings.into_iter().map(|finding| finding.detail).collect();
        assert!(details.len() == 1 && details[0].contains(&told), "{details:?}: {shown}");
        let options = RepairOptions { salvage_name: "now".to_owned(), ..RepairOptions::default() };
        repair(&files.env(), Path::new(DIRECTORY), &options).unwrap();
        assert_eq!(offsets(&Simulated::reopened(files, &compacted())), left, "mended: {shown}");
    }
}

fn compacted_machine() -> Simulated {
    let machine = Simulated::new(&LogConfig { segment_bytes: 4000, ..compacted() });
    machine.bench.fill(120);
    machine.bench.compact();
    machine
}

#[test]
fn in_a_compacted_segment_a_wrong_base_offset_costs_no_other_batch() {
    let batches = batches_of(&compacted_machine().files, &segment_path(0, "log"));
    assert!(batches.len() > 4, "{batches:?}");
    for index in [1, batches.len() - 2] {
        flip_each_bit(0, index, compacted_machine);
    }
}

#[test]
fn where_the_last_segment_may_have_holes_a_wrong_base_offset_costs_no_other_batch() {
    let machine = || {
        let machine = Simulated::new(&LogConfig { segment_bytes: 1 << 20, ..compacted() });
        machine.bench.fill(8);
        let state = CompactionState { holes_below: 1, ..CompactionState::default() };
        let directory = segment_path(0, "log").parent().unwrap().to_owned();
        machine.killed(|files| {
            state::store(files, &directory, &state).unwrap();
        })
    };
    for index in [1, 4] {
        flip_each_bit(0, index, machine);
    }
}

#[test]
fn scrubbing_finds_a_wrong_base_offset_in_a_compacted_segment_and_blames_no_other_batch() {
    for bit in 0..u64::BITS {
        let machine = compacted_machine();
        let path = segment_path(0, "log");
        let batches = batches_of(&machine.files, &path);
        let last = batches.len() - 1;
        let (before, batch, behind) = (batches[last - 2], batches[last - 1], batches[last]);
        let wrong = batch.base_offset ^ (1 << bit);
        if fits(wrong, before, batch, behind) {
            continue;
        }
        set_base_offset(&machine.files, &path, batch, wrong);
        let told = format!("offsets {} to {} are", before.end_offset, behind.base_offset);
        let found = scrubbed(&machine);
        assert!(found.len() == 1 && found[0].contains(&told), "bit {bit}: {found:?}");
        assert_eq!(scrubbed(&machine), [""; 0], "it is told of once");
        assert_eq!(machine.bench.compact_at(&Unpaced).unwrap(), None);
    }
}
