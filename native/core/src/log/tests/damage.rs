use std::path::Path;

use super::{DIRECTORY, Simulated, batch, content, flip, offsets_of, segment_path};
use crate::{
    batch::header::crc32c,
    env::{
        FileSystem, OpenMode,
        simulated::{Call, Effect, Fault},
    },
    log::config::LogConfig,
    recovery::verify::verify_data_directory,
    registry::{
        channel::Channel,
        deliver::{Outcome, ReadRequest},
    },
};

/// A machine with five batches of a record, of which the third one is damaged behind its header.
fn machine_with_damage() -> Simulated {
    let machine = Simulated::new(&LogConfig::default());
    for value in 0..5u8 {
        machine.bench.append(&[value; 100]);
    }
    // So that the next start believes the headers.
    machine.bench.store.write_checkpoint().unwrap();
    flip_third(&machine);
    machine
}

fn flip_third(machine: &Simulated) {
    let bytes = batch(&[0; 100], None).len() as u64;
    flip(&machine.files, &segment_path(0, "log"), 2 * bytes + 90);
}

fn request_at_2(machine: &Simulated) -> ReadRequest {
    ReadRequest {
        topic: machine.bench.topic,
        partition: 0,
        offset: 2,
        subscription: 1,
        records_max: 1,
        bytes_max: 1 << 20,
        connection: 1,
    }
}

/// What a subscription at offset 2 is told: the first offset behind the gap, if it has one.
fn gap_at_2(machine: &Simulated) -> Option<u64> {
    let request = request_at_2(machine);
    let channel = Channel::new(0, Box::new(|| ()));
    loop {
        match machine.bench.store.read_records(&channel, &request, &mut Vec::new()).unwrap() {
            Outcome::Gap { to_offset } => return Some(to_offset),
            Outcome::Records { next_offset: 3, .. } => return None,
            Outcome::Loading { .. } => {
                machine.bench.store.drive();
                channel.step();
            }
            _ => panic!("offset 2 is neither read nor a gap"),
        }
    }
}

fn has_damage_file(machine: &Simulated) -> bool {
    machine.files.open(&segment_path(0, "damage"), OpenMode::Read).is_ok()
}

#[test]
fn damage_that_a_reader_meets_is_known_to_every_later_start() {
    let machine = machine_with_damage();
    assert_eq!(gap_at_2(&machine), Some(3));
    machine.bench.store.drive();
    // The damage is on the disk.
    let file = machine.files.open(&segment_path(0, "log"), OpenMode::ReadWrite).unwrap();
    file.sync_data().unwrap();
    let machine = machine.cut();
    assert!(has_damage_file(&machine), "it survives a power cut");
    assert_eq!(machine.bench.report(), [], "recovery has nothing to add");
    let found = content(&machine.bench);
    assert_eq!((offsets_of(&found), &found.1), (vec![0, 1, 3, 4], &vec![(2, 3)]));
    assert_eq!(gap_at_2(&machine), Some(3));
    machine.bench.append(b"more");
    let machine = machine.killed(|_| ());
    assert_eq!(machine.bench.report(), []);
    assert_eq!(content(&machine.bench).1, [(2, 3)]);

    machine.bench.store.close().unwrap();
    let verified = verify_data_directory(&machine.files.env(), Path::new(DIRECTORY), None).unwrap();
    let details: Vec<_> = verified.findings.iter().map(|finding| &finding.detail).collect();
    assert_eq!(details.len(), 1, "{details:?}");
    assert!(details[0].contains("offsets 2 to 3") && details[0].contains("known"), "{details:?}");
}

#[test]
fn a_gap_is_answered_and_the_failure_counted_when_the_disk_does_not_take_it() {
    let machine = machine_with_damage();
    machine.files.inject(Fault::new(Effect::NoSpace).on(Call::Write).times(u64::MAX));
    assert_eq!(gap_at_2(&machine), Some(3));
    machine.bench.store.drive();
    let failures = &machine.bench.store.shared().damage_failures;
    assert_eq!(failures.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert!(!has_damage_file(&machine));
    assert_eq!(gap_at_2(&machine), Some(3));
    machine.files.clear_faults();
    machine.bench.store.close().unwrap();
    assert!(has_damage_file(&machine), "it is tried again at a clean stop");
}

#[test]
fn what_is_whole_on_the_disk_is_not_given_up_for_good() {
    let machine = machine_with_damage();
    let channel = Channel::new(0, Box::new(|| ()));
    let read = machine.bench.store.read_records(&channel, &request_at_2(&machine), &mut Vec::new());
    assert!(matches!(read.unwrap(), Outcome::Loading { .. }));
    // It was wrong in memory for a moment: the file is whole when it is asked.
    flip_third(&machine);
    machine.bench.store.drive();
    assert!(!has_damage_file(&machine));
    let machine = machine.killed(|_| ());
    assert_eq!(gap_at_2(&machine), None);
    assert_eq!(content(&machine.bench).1, []);
}

#[test]
fn a_batch_that_only_cannot_be_taken_apart_is_a_gap_and_not_damage() {
    let machine = Simulated::new(&LogConfig::default());
    for value in 0..5u8 {
        let mut batch = batch(&[value; 100], None);
        if value == 2 {
            // Says that it is compressed by gzip, and has the checksum to it.
            batch[22] |= 1;
            let crc = crc32c(&batch[21..]);
            batch[17..21].copy_from_slice(&crc.to_be_bytes());
        }
        machine.bench.log(0).append(&batch, 7).unwrap();
        machine.bench.store.drive();
    }
    assert_eq!(gap_at_2(&machine), Some(3));
    machine.bench.store.drive();
    assert!(!has_damage_file(&machine));
    let report = machine.bench.store.take_upkeep_report();
    let [ref entry] = report[..] else { panic!("{report:?}") };
    assert!(entry.detail.contains("offsets 2 to 3 could not be taken apart"), "{report:?}");
}

#[test]
fn a_damage_file_that_says_too_much_is_told_of() {
    let machine = machine_with_damage();
    assert_eq!(gap_at_2(&machine), Some(3));
    machine.bench.store.close().unwrap();
    let files = machine.files.clone();
    let bytes = batch(&[0; 100], None).len() as u64;
    // The file system has given the byte back.
    flip(&files, &segment_path(0, "log"), 2 * bytes + 90);
    let verified = verify_data_directory(&files.env(), Path::new(DIRECTORY), None).unwrap();
    let details: Vec<_> = verified.findings.iter().map(|finding| &finding.detail).collect();
    assert!(details.len() == 1 && details[0].contains("and they are not"), "{details:?}");
}
