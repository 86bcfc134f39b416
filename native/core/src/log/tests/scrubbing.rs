use super::{Simulated, batch, content, flip, offsets_of, segment_path};
use crate::{
    env::{
        FileSystem, OpenMode,
        simulated::{Call, Effect, Fault},
    },
    index::file as index_file,
    log::config::LogConfig,
    registry::upkeep::UpkeepEntry,
    segment::damage::{self, KnownDamage},
};

/// Batches of a segment: what the machine below writes before it rolls.
const BATCHES_PER_SEGMENT: u64 = 4;

fn batch_bytes() -> u64 {
    batch(&[0; 100], None).len() as u64
}

/// A machine with three closed segments of four batches and one that is being written.
fn machine() -> Simulated {
    let segment_bytes = BATCHES_PER_SEGMENT * batch_bytes();
    let machine = Simulated::new(&LogConfig { segment_bytes, ..LogConfig::default() });
    for value in 0..14u8 {
        machine.bench.append(&[value; 100]);
    }
    machine
}

/// Scrubs until everything was read once; returns the bytes read and the steps it took.
fn scrub(machine: &Simulated, bytes_max: u64) -> (u64, u64) {
    let (mut bytes, mut steps) = (0, 0);
    loop {
        let step = machine.bench.store.scrub_step(bytes_max).unwrap();
        bytes += step.bytes;
        steps += 1;
        if step.is_round_over {
            return (bytes, steps);
        }
    }
}

fn report(machine: &Simulated) -> Vec<UpkeepEntry> {
    machine.bench.store.take_upkeep_report()
}

#[test]
fn every_closed_segment_is_read_once_a_round_in_steps_of_the_size_asked_for() {
    let machine = machine();
    let closed = 3 * BATCHES_PER_SEGMENT * batch_bytes();
    for bytes_max in [1, 2 * batch_bytes(), 1 << 20] {
        assert_eq!(scrub(&machine, bytes_max).0, closed, "steps of {bytes_max} bytes");
    }
    assert!(scrub(&machine, 1).1 > scrub(&machine, 1 << 20).1);
    assert_eq!(report(&machine), []);
}

#[test]
fn a_flipped_bit_is_found_before_a_reader_meets_it_and_reported_once() {
    // Offset, length, epoch's neighbour magic, checksum, attributes, counts, and the body.
    for at in [7, 10, 16, 18, 22, 26, 60, 90] {
        let machine = machine();
        flip(&machine.files, &segment_path(4, "log"), 2 * batch_bytes() + at);
        scrub(&machine, 300);
        let found = report(&machine);
        assert_eq!(found.len(), 1, "byte {at}: {found:?}");
        assert!(found[0].is_warning && found[0].subject == "orders-0", "{found:?}");
        let place = format!("{} bytes from {} on", batch_bytes(), 2 * batch_bytes());
        assert!(found[0].detail.contains("offsets 6 to 7"), "byte {at}: {found:?}");
        assert!(found[0].detail.contains(&place), "byte {at}: {found:?}");
        scrub(&machine, 300);
        assert_eq!(report(&machine), [], "byte {at}");
        let all_but_6: Vec<u64> = (0..14).filter(|offset| *offset != 6).collect();
        let found = content(&machine.bench);
        assert_eq!((offsets_of(&found), &found.1), (all_but_6.clone(), &vec![(6, 7)]), "{at}");
        let machine = machine.killed(|_| ());
        let found = content(&machine.bench);
        assert_eq!((offsets_of(&found), &found.1), (all_but_6, &vec![(6, 7)]), "{at}");
    }
}

#[test]
fn batches_that_are_damaged_in_a_row_cost_no_other() {
    // The second one by its base offset, its length, its checksum and its records.
    for second in [4, 7, 10, 18, 70] {
        let machine = machine();
        for (batch, at) in [(0, 90), (1, second), (2, 20)] {
            flip(&machine.files, &segment_path(4, "log"), batch * batch_bytes() + at);
        }
        scrub(&machine, 1);
        let found = content(&machine.bench);
        assert_eq!((found.0.len(), found.1), (11, vec![(4, 7)]), "byte {second}");
    }
}

#[test]
fn a_file_that_lost_its_end_is_found_too() {
    let machine = machine();
    let file = machine.files.open(&segment_path(0, "log"), OpenMode::ReadWrite).unwrap();
    file.truncate(3 * batch_bytes() + 5).unwrap();
    scrub(&machine, 1 << 20);
    let found = report(&machine);
    assert!(found.len() == 1 && found[0].detail.contains("offsets 3 to 4"), "{found:?}");
}

#[test]
fn damage_that_the_disk_does_not_take_is_served_around_all_the_same() {
    let machine = machine();
    flip(&machine.files, &segment_path(4, "log"), 90);
    machine.files.inject(Fault::new(Effect::NoSpace).on(Call::Write).times(u64::MAX));
    scrub(&machine, 1 << 20);
    machine.files.clear_faults();
    assert_eq!(content(&machine.bench).1, [(4, 5)]);
    let load = || damage::load(&machine.files, &segment_path(4, "damage")).unwrap();
    assert_eq!(load(), KnownDamage::Ranges(Vec::new()));
    machine.bench.store.close().unwrap();
    assert_eq!(load().ranges().count(), 1, "it is tried again at a clean stop");
}

#[test]
fn a_segment_that_cannot_be_read_is_told_of_and_the_others_are_read() {
    let machine = machine();
    flip(&machine.files, &segment_path(8, "log"), 90);
    // Of each segment the log file is read once, and both files of the index.
    machine.files.inject(Fault::new(Effect::InputOutput).on(Call::Read).at(3).times(1));
    scrub(&machine, 1 << 20);
    let found = report(&machine);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].detail.contains("could not be checked"), "{found:?}");
    assert!(found[1].detail.contains("offsets 8 to 9"), "{found:?}");
}

#[test]
fn an_index_that_cannot_be_believed_is_made_again() {
    for extension in ["index", "timeindex"] {
        let machine = machine();
        let paths = [segment_path(4, "index"), segment_path(4, "timeindex")];
        let load = || index_file::load(&machine.files, &paths[0], &paths[1]).unwrap();
        let before = load().unwrap();
        flip(&machine.files, &segment_path(4, extension), 3);
        assert_eq!(load(), None);
        scrub(&machine, 200);
        let found = report(&machine);
        assert!(found.len() == 1 && found[0].detail.contains("was made again"), "{found:?}");
        let (index, coverage) = load().unwrap();
        assert_eq!((index.entries(), coverage), (before.0.entries(), before.1));
        assert_eq!(content(&machine.bench).1, []);
    }
}

#[test]
fn a_log_that_ends_while_it_is_read_is_nobodys_loss() {
    let machine = machine();
    machine.bench.store.scrub_step(1).unwrap();
    machine.bench.store.delete_topic(machine.bench.topic).unwrap();
    scrub(&machine, 1 << 20);
    assert_eq!(report(&machine), []);
}

/// Checks a partition step by step as a broker is asked to; what was found, and the steps it took.
fn verify(machine: &Simulated, bytes_max: u64) -> (u64, Vec<String>, u64) {
    let log = machine.bench.log(0);
    let (mut records, mut findings, mut steps) = (0, Vec::new(), 0);
    let mut next = Some(0);
    while let Some(offset) = next {
        let step = log.verify_step(offset, bytes_max).unwrap();
        assert!(step.next_offset.is_none_or(|next| next > offset), "{step:?}");
        records += step.record_count;
        findings.extend(step.findings);
        steps += 1;
        next = step.next_offset;
    }
    (records, findings, steps)
}

#[test]
fn an_open_log_is_checked_to_its_flushed_end_in_steps_that_go_on_where_one_ended() {
    let segment_bytes = BATCHES_PER_SEGMENT * batch_bytes();
    let config = LogConfig { segment_bytes, index_interval_bytes: 0, ..LogConfig::default() };
    let machine = Simulated::new(&config);
    for value in 0..14u8 {
        machine.bench.append(&[value; 100]);
    }
    for bytes_max in [1, batch_bytes() + 1, 1 << 20] {
        let (records, findings, steps) = verify(&machine, bytes_max);
        assert_eq!((records, findings), (14, vec![]), "steps of {bytes_max} bytes");
        assert!(if bytes_max == 1 { steps >= 14 } else { steps >= 4 }, "{steps}");
    }
    // The active segment is checked, too, and what is not flushed is nobody's business yet.
    flip(&machine.files, &segment_path(12, "log"), 90);
    flip(&machine.files, &segment_path(4, "log"), 3 * batch_bytes() + 10);
    for bytes_max in [1, 1 << 20] {
        let (records, findings, _) = verify(&machine, bytes_max);
        assert_eq!((records, findings.len()), (12, 2), "{findings:?}");
        assert!(findings[0].contains("offsets 7 to 8 are damaged"), "{findings:?}");
        assert!(findings[1].contains("offsets 12 to 13 are damaged"), "{findings:?}");
    }
    assert_eq!(report(&machine).len(), 2, "and told of once");
    assert_eq!(content(&machine.bench).1, [(7, 8), (12, 13)]);
}
