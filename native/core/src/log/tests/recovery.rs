use super::*;
use crate::{
    batch::header::assign,
    env::{OpenMode, transfer::write_full},
    recovery::{RecoveryEvent, verify::verify_data_directory},
};

fn config(writer: WriterChoice) -> LogConfig {
    LogConfig { writer, index_interval_bytes: 0, ..LogConfig::default() }
}

fn write_behind(files: &SimulatedFileSystem, path: &Path, bytes: &[u8]) {
    let file = files.open(path, OpenMode::ReadWrite).unwrap();
    let end = file.len().unwrap();
    write_full(&*file, &[bytes], end).unwrap();
}

#[test]
fn one_flipped_bit_in_the_middle_costs_one_batch() {
    // All of the header but the leader epoch, which nothing covers, and some of the records.
    let positions = (0..12).chain(16..HEADER_BYTES as u64 + 20);
    for position in positions {
        let machine = Simulated::new(&config(WriterChoice::Pwrite));
        for value in 0..10u8 {
            machine.bench.append(&[value; 100]);
        }
        let bytes = batch(&[0; 100], None).len() as u64;
        let machine = machine.killed(|files| {
            flip(files, &segment_path(0, "log"), 4 * bytes + position);
        });
        let found = content(&machine.bench);
        assert_eq!(offsets_of(&found), [0, 1, 2, 3, 5, 6, 7, 8, 9], "byte {position}");
        assert_eq!(found.1, [(4, 5)], "byte {position}");
        let report = machine.bench.report();
        let quarantined = RecoveryEvent::Quarantined { from_offset: 4, to_offset: 5, bytes };
        assert!(report.iter().any(|entry| entry.event == quarantined), "{report:?}");
        // It is known from now on, and appends go on behind.
        let machine = machine.killed(|_| {});
        assert_eq!(machine.bench.report(), []);
        assert_eq!(machine.bench.append(b"more").base_offset, 10);
        assert_eq!(content(&machine.bench).1, [(4, 5)]);
    }
}

#[test]
fn damage_before_the_checkpoint_never_takes_what_was_durable_for_a_tail() {
    let machine = Simulated::new(&config(WriterChoice::Pwrite));
    for value in 0..10u8 {
        machine.bench.append(&[value; 100]);
    }
    machine.bench.store.write_checkpoint().unwrap();
    let bytes = batch(&[0; 100], None).len() as u64;
    let machine = machine.killed(|files| {
        for batch in 4..10 {
            flip(files, &segment_path(0, "log"), batch * bytes + 9);
        }
    });
    assert_eq!(machine.bench.log(0).offsets().log_end, 10);
    assert_eq!(machine.bench.append(b"more").base_offset, 10);
    let found = content(&machine.bench);
    assert_eq!(offsets_of(&found), [0, 1, 2, 3, 10]);
    assert_eq!(found.1, [(4, 10)]);
}

#[test]
fn a_damaged_batch_at_the_end_of_a_closed_segment_is_kept_and_served_around() {
    let small = LogConfig { segment_bytes: 600, ..config(WriterChoice::Pwrite) };
    let machine = Simulated::new(&small);
    for value in 0..9u8 {
        machine.bench.append(&[value; 100]);
    }
    let bytes = batch(&[0; 100], None).len() as u64;
    let per_segment = 600 / bytes;
    let last = segment_path(0, "log");
    let machine = machine.killed(|files| {
        files.remove_file(&segment_path(0, "index")).unwrap();
        flip(files, &last, (per_segment - 1) * bytes + 80);
    });
    let file = machine.files.open(&last, OpenMode::Read).unwrap();
    assert_eq!(file.len().unwrap(), per_segment * bytes);
    let found = content(&machine.bench);
    assert_eq!(found.1, [(per_segment - 1, per_segment)]);
    assert_eq!(found.0.len(), 8);
    let machine = machine.killed(|_| {});
    assert_eq!(machine.bench.report(), []);
    assert_eq!(content(&machine.bench), found);
}

#[test]
fn a_batch_forged_inside_a_record_does_not_come_to_life() {
    let mut forged = batch(b"forged", None);
    let (head, _) = forged.split_first_chunk_mut().unwrap();
    assign(head, 5, 0);
    let mut value = vec![0; 400];
    value.extend_from_slice(&forged);
    value.extend_from_slice(&[0; 400]);
    let whole = batch(&value, None);
    // Cut behind the forged batch, and with a length field of which any part is missing.
    for broken in [None, Some(8), Some(9), Some(10), Some(11)] {
        let machine = Simulated::new(&config(WriterChoice::Pwrite));
        machine.bench.append(b"first");
        let mut torn = whole.clone();
        let (head, _) = torn.split_first_chunk_mut().unwrap();
        assign(head, 1, 0);
        torn.truncate(whole.len() - 100);
        if let Some(from) = broken {
            torn[from..20].fill(0);
            // Points at the forged batch.
            torn[11] = 0;
        }
        let machine = machine.killed(|files| write_behind(files, &segment_path(0, "log"), &torn));
        assert_eq!(machine.bench.log(0).offsets().log_end, 1);
        assert_eq!(machine.bench.append(b"second").base_offset, 1);
        assert_eq!(offsets_of(&content(&machine.bench)), [0, 1]);
    }
}

#[test]
fn an_old_batch_behind_the_tail_stays_dead() {
    for writer in WRITERS {
        let machine = Simulated::new(&config(writer));
        machine.bench.append(b"aaaa");
        let mut old = batch(b"old!", None);
        let (head, _) = old.split_first_chunk_mut().unwrap();
        assign(head, 2, 0);
        let mut behind = vec![0; old.len()];
        behind.extend_from_slice(&old);
        let machine = machine.killed(|files| {
            let path = segment_path(0, "log");
            let file = files.open(&path, OpenMode::ReadWrite).unwrap();
            write_full(&*file, &[&behind], old.len() as u64).unwrap();
        });
        let erased = machine.bench.report();
        assert!(matches!(erased[0].event, RecoveryEvent::TailErased { offset: 1, .. }));
        // Of the same length: the old one would lie exactly behind it.
        assert_eq!(machine.bench.append(b"bbbb").base_offset, 1);
        let machine = machine.killed(|_| {});
        assert_eq!(machine.bench.log(0).offsets().log_end, 2);
    }
}

#[test]
fn segments_at_the_end_that_hold_nothing_do_not_make_a_gap() {
    let machine = Simulated::new(&config(WriterChoice::Pwrite));
    machine.bench.append(b"one");
    let machine = machine.killed(|files| {
        for (base_offset, bytes) in [(3, &[][..]), (7, &[0; 300][..])] {
            let path = segment_path(base_offset, "log");
            let file = files.open(&path, OpenMode::CreateNew).unwrap();
            write_full(&*file, &[bytes], 0).unwrap();
        }
    });
    assert_eq!(machine.bench.report(), []);
    assert_eq!(machine.bench.append(b"two").base_offset, 1);
    assert_eq!(content(&machine.bench).1, []);
}

#[test]
fn a_checkpoint_or_hint_that_is_missing_or_damaged_changes_nothing_but_time() {
    for damage in 0..4 {
        let small = LogConfig { segment_bytes: 400, ..config(WriterChoice::Mapped) };
        let machine = Simulated::new(&small);
        for value in 0..12u8 {
            machine.bench.append(&[value; 90]);
        }
        machine.bench.store.write_checkpoint().unwrap();
        let before = content(&machine.bench);
        let machine = machine.killed(|files| {
            let checkpoint = Path::new(DIRECTORY).join("checkpoint");
            if damage == 0 {
                files.remove_file(&checkpoint).unwrap();
            } else if damage == 1 {
                flip(files, &checkpoint, 30);
            }
            for entry in files.list(segment_path(0, "log").parent().unwrap()).unwrap() {
                let path = segment_path(0, "log").with_file_name(&entry.name);
                let is_hint = entry.name.ends_with("index") || entry.name.ends_with("snapshot");
                if is_hint && damage == 2 {
                    files.remove_file(&path).unwrap();
                } else if is_hint && damage == 3 {
                    flip(files, &path, entry.bytes / 2);
                }
            }
        });
        assert_eq!(content(&machine.bench), before, "damage {damage}");
        assert_eq!(machine.bench.report(), [], "damage {damage}");
    }
}

#[test]
fn the_leader_epoch_rises_with_every_start_but_after_a_clean_stop() {
    let config = config(WriterChoice::Pwrite);
    let machine = Simulated::new(&config);
    machine.bench.append(b"one");
    assert_eq!(machine.bench.log(0).offsets().leader_epoch, 0);
    let machine = machine.cut();
    assert_eq!(machine.bench.log(0).offsets().leader_epoch, 1);
    machine.bench.store.close().unwrap();
    let files = machine.files.clone();
    drop(machine);
    let machine = Simulated::reopened(files, &config);
    assert_eq!(machine.bench.log(0).offsets().leader_epoch, 1);
    // Before anything was written or flushed.
    let machine = machine.cut();
    assert_eq!(machine.bench.log(0).offsets().leader_epoch, 2);
    assert_eq!(offsets_of(&content(&machine.bench)), [0]);
}

#[test]
fn a_directory_of_an_existing_topic_that_is_missing_is_damage() {
    let machine = Simulated::new(&config(WriterChoice::Pwrite));
    let files = machine.files.clone();
    machine.bench.store.close().unwrap();
    drop(machine);
    files.remove_file(&segment_path(0, "log").with_file_name("partition.json")).unwrap();
    files.remove_directory(segment_path(0, "log").parent().unwrap()).unwrap();
    let store = Store::open(files.env(), options(Path::new(DIRECTORY))).unwrap();
    let error = store.open_topics(&[orders(&LogConfig::default(), true)]).unwrap_err();
    assert_eq!(error.code(), Code::DataDamaged);
}

#[test]
fn damage_in_a_records_bytes_stays_known_when_the_hints_are_lost() {
    let machine = Simulated::new(&config(WriterChoice::Pwrite));
    for value in 0..6u8 {
        machine.bench.append(&[value; 100]);
    }
    let bytes = batch(&[0; 100], None).len() as u64;
    let machine = machine.killed(|files| flip(files, &segment_path(0, "log"), 2 * bytes + 90));
    assert_eq!(content(&machine.bench).1, [(2, 3)]);
    // The checkpoint covers the damaged batch now, and its header is whole.
    machine.bench.store.write_checkpoint().unwrap();
    let machine = machine.killed(|files| {
        let hints = files.list(segment_path(0, "log").parent().unwrap()).unwrap();
        for hint in hints.iter().filter(|entry| entry.name.ends_with("snapshot")) {
            let path = segment_path(0, "log").with_file_name(&hint.name);
            files.remove_file(&path).unwrap();
        }
    });
    assert_eq!(content(&machine.bench).1, [(2, 3)]);
}

#[test]
fn a_check_finds_damage_and_changes_nothing() {
    let machine = Simulated::new(&config(WriterChoice::Pwrite));
    for value in 0..6u8 {
        machine.bench.append(&[value; 100]);
    }
    let env = machine.files.env();
    let directory = Path::new(DIRECTORY);
    let busy = verify_data_directory(&env, directory, None).unwrap_err();
    assert_eq!(busy.code(), Code::DataDirectoryInUse);
    machine.bench.store.close().unwrap();
    drop(machine.bench);
    let sound = verify_data_directory(&env, directory, None).unwrap();
    assert_eq!((sound.log_count, sound.record_count), (2, 6));
    assert_eq!(sound.findings, []);
    let bytes = batch(&[0; 100], None).len() as u64;
    let path = segment_path(0, "log");
    flip(&machine.files, &path, 2 * bytes + 90);
    write_behind(&machine.files, &path, b"torn");
    for _ in 0..2 {
        let report = verify_data_directory(&env, directory, None).unwrap();
        assert_eq!((report.record_count, report.bytes), (5, 5 * bytes));
        assert!(report.findings.len() >= 2, "{:?}", report.findings);
    }
    let nowhere = verify_data_directory(&env, Path::new("/data/logs"), None).unwrap_err();
    assert_eq!(nowhere.code(), Code::InvalidArgument);
    assert!(machine.files.list(Path::new("/data/logs")).unwrap().len() == 1);
}
