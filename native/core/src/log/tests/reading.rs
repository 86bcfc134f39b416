use super::*;

/// Both writers on real files: sizes around the windows of the writer and of the readers.
#[test]
fn batches_of_any_size_come_back_from_real_files() {
    for writer in WRITERS {
        for flush_messages in [1, u64::MAX] {
            let directory = tempfile::tempdir().unwrap();
            let config = LogConfig {
                writer,
                flush_messages,
                message_bytes_max: 8 << 20,
                segment_bytes: 12 << 20,
                ..LogConfig::default()
            };
            let bench = Bench::open(Env::system(), directory.path(), &config, false);
            let mut expected = Vec::new();
            // The first is larger than the first window of the mapped writer.
            let sizes = [300 << 10, 10, 64 << 10, 5 << 20, 70_000, 1, 3 << 20, 4096, 6 << 20];
            for (index, bytes) in sizes.into_iter().enumerate() {
                let value = vec![index as u8; bytes];
                let appended = bench.append(&value);
                expected.push((appended.base_offset, value));
                // Read in between, so that windows are outgrown by the segment.
                bench.store.drive();
                assert!(content(&bench).0 == expected, "{writer:?} at {index}");
            }
            bench.store.close().unwrap();
            drop(bench);
            let bench = Bench::open(Env::system(), directory.path(), &config, true);
            assert_eq!(bench.report(), []);
            assert!(content(&bench) == (expected, vec![]), "{writer:?} reopened");
            bench.store.close().unwrap();
        }
    }
}

#[test]
fn the_writer_can_change_between_any_two_appends() {
    let directory = tempfile::tempdir().unwrap();
    let config = LogConfig { flush_messages: 3, ..LogConfig::default() };
    let bench = Bench::open(Env::system(), directory.path(), &config, false);
    for index in 0..60u64 {
        let config = LogConfig { writer: WRITERS[usize::from(index % 3 == 0)], ..config.clone() };
        bench.store.configure_topic(bench.topic, config).unwrap();
        assert_eq!(bench.append(&vec![index as u8; 20_000]).base_offset, index);
    }
    let found = content(&bench);
    assert_eq!(offsets_of(&found), (0..60).collect::<Vec<_>>());
    let is_right =
        |(offset, value): &(u64, Vec<u8>)| value.iter().all(|b| u64::from(*b) == *offset);
    assert!(found.0.iter().all(is_right));
    bench.store.close().unwrap();
}

#[test]
fn an_index_that_is_wrong_costs_time_and_never_an_answer() {
    let config = LogConfig { segment_bytes: 2000, index_interval_bytes: 0, ..LogConfig::default() };
    let machine = Simulated::new(&config);
    for value in 0..40u8 {
        machine.bench.append(&[value; 100]);
    }
    let log = machine.bench.log(0);
    let segment = Arc::clone(&log.segments.read()[1]);
    let expected = segment.base_offset + 5;
    for shift in [1u32, 61, 100_000] {
        let mut wrong = crate::index::SegmentIndex::default();
        for entry in 0..10u32 {
            wrong.note(entry, entry * 100 + shift, 100, 7, 0);
        }
        segment.set_index(wrong);
        let Read::Batches(batches) = log.read(expected, 1).unwrap() else {
            panic!("nothing to read at {expected}")
        };
        assert_eq!(batches.next_offset, expected + 1);
    }
}

#[test]
fn a_header_that_breaks_while_the_log_is_served_is_set_aside() {
    let config = LogConfig { index_interval_bytes: 0, ..LogConfig::default() };
    let machine = Simulated::new(&config);
    for value in 0..5u8 {
        machine.bench.append(&[value; 100]);
    }
    let bytes = batch(&[0; 100], None).len() as u64;
    // The magic of the third batch.
    flip(&machine.files, &segment_path(0, "log"), 2 * bytes + 16);
    let found = content(&machine.bench);
    assert_eq!(offsets_of(&found), [0, 1, 3, 4]);
    assert_eq!(found.1, [(2, 3)]);
}

/// The base offset lies outside the checksum: a batch that claims another place is not believed.
#[test]
fn a_batch_that_claims_another_offset_is_set_aside_and_nothing_else() {
    // One index entry a batch, and one for all of them: what follows is found either way.
    for index_interval_bytes in [0, 1 << 20] {
        for byte in 0..8 {
            let config = LogConfig { index_interval_bytes, ..LogConfig::default() };
            let machine = Simulated::new(&config);
            for value in 0..10u8 {
                machine.bench.append(&[value; 100]);
            }
            let batch_bytes = batch(&[0; 100], None).len() as u64;
            flip(&machine.files, &segment_path(0, "log"), 5 * batch_bytes + byte);
            let found = content(&machine.bench);
            assert_eq!(offsets_of(&found), [0, 1, 2, 3, 4, 6, 7, 8, 9], "byte {byte}");
            assert_eq!(found.1, [(5, 6)], "byte {byte}");
            let is_right = |(offset, value): &(u64, Vec<u8>)| u64::from(value[0]) == *offset;
            assert!(found.0.iter().all(is_right));
        }
    }
}

#[test]
fn what_a_reader_holds_stays_while_other_windows_are_placed_where_its_neighbours_were() {
    let directory = tempfile::tempdir().unwrap();
    let config = LogConfig {
        message_bytes_max: 8 << 20,
        segment_bytes: 5 << 20,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    };
    let bench = Bench::open(Env::system(), directory.path(), &config, false);
    for value in 0..5 {
        bench.append(&vec![value; 4 << 20]);
    }
    bench.store.drive();
    let log = bench.log(0);
    let read = |offset| {
        loop {
            match log.read(offset, 1).unwrap() {
                Read::Batches(batches) => return batches,
                // The index of a segment that is closed.
                Read::Cold(range) => range.load(bench.store.shared()).unwrap(),
                _ => panic!("nothing at {offset}"),
            }
        }
    };
    let slot_of = |batches: &Batches| batches.window.mapping.slot().unwrap().number();
    let held = read(0);
    let bytes = held.bytes().to_vec();
    let free = slot_of(&read(1));
    assert_ne!(slot_of(&held), free);
    bench.store.delete_records(bench.topic, 0, Some(2)).unwrap();
    assert_eq!(slot_of(&read(2)), free);
    assert_ne!(slot_of(&read(3)), slot_of(&held));
    assert!(held.bytes() == bytes, "a mapping was placed over bytes that are in use");
    let free = slot_of(&held);
    drop(held);
    assert_eq!(slot_of(&read(4)), free);
}

/// Between a reader's look at where the log starts and at its segments, somebody deletes.
#[test]
fn a_read_that_a_deletion_overtakes_is_told_of_the_start_and_takes_nothing_for_damaged() {
    let config = LogConfig { segment_bytes: 200, ..LogConfig::default() };
    let machine = Simulated::new(&config);
    for value in 0..4u8 {
        machine.bench.append(&[value; 100]);
    }
    let log = machine.bench.log(0);
    let visible = *log.visible.read();
    log.delete_records(Some(2)).unwrap();
    for offset in [0, 1] {
        let read = log.read_batches(offset, 1 << 20, visible, true).unwrap();
        assert!(matches!(read, Read::OutOfRange { log_start: 2, high_watermark: 4 }));
    }
    let found = content(&machine.bench);
    assert_eq!((offsets_of(&found), found.1), (vec![2, 3], vec![]));
}
