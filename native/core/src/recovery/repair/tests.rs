use std::{num::NonZeroUsize, path::PathBuf, sync::Arc};

use super::*;
use crate::{
    batch::{BatchBuilder, BatchHeader, Finish, HEADER_BYTES, Producer, header::crc32c},
    compaction::state::{self, CompactionState, Stored},
    compression::Codec,
    env::{
        FileSystem, OpenMode,
        simulated::{Effect, Fault, SimulatedFileSystem},
        transfer::{read_whole, write_full},
    },
    log::{Log, config::LogConfig, tests},
    producer::{ProducerBatch, ProducerStates, snapshot},
    recovery::verify::verify_data_directory,
    registry::{Store, StoreOptions, TopicSpec},
    segment::{DamagedRange, Segment, damage},
};

const DIRECTORY: &str = "/data";
const TOPIC_ID: Uuid = Uuid::from_u128(0x11);
const KEY: &str = "topics/orders";

fn batch(value: u8) -> Vec<u8> {
    let mut output = Vec::new();
    let mut builder = BatchBuilder::new(&mut output, Codec::None, None);
    builder.push(7, None, Some(&[value; 100]), std::iter::empty()).unwrap();
    let producer = Some(Producer { id: 40, epoch: 0, base_sequence: i32::from(value) });
    builder.finish(Finish { producer, log_append_time_ms: None }).unwrap();
    output
}

fn batch_bytes() -> u64 {
    batch(0).len() as u64
}

fn open(files: &SimulatedFileSystem, is_existing: bool) -> (Arc<Store>, Arc<Log>) {
    let options = StoreOptions {
        data_directory: PathBuf::from(DIRECTORY),
        flush_threads_max: 0,
        descriptors_max: NonZeroUsize::new(8).unwrap(),
        journal: None,
    };
    let store = Store::open(files.env(), options).unwrap();
    let segment_bytes = 4 * batch_bytes();
    let spec = TopicSpec {
        name: "orders".to_owned(),
        topic_id: TOPIC_ID,
        partitions: 1,
        config: LogConfig { segment_bytes, ..LogConfig::default() },
        is_existing,
    };
    let topic = store.open_topics(&[spec]).unwrap()[0];
    let log = store.log(topic, 0).unwrap();
    (store, log)
}

/// A stopped broker's directory: three closed segments of four records, and two in the last.
fn directory() -> SimulatedFileSystem {
    let files = SimulatedFileSystem::new(1);
    let (store, log) = open(&files, false);
    store.metadata().commit(0, &[(KEY.to_owned(), Some(b"{}".to_vec()))]).unwrap();
    for value in 0..14 {
        log.append(&batch(value), 7).unwrap();
        store.drive();
    }
    store.close().unwrap();
    files
}

fn partition_path(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(format!("logs/{TOPIC_ID}/0")).join(name)
}

fn path(base_offset: u64, extension: &str) -> PathBuf {
    partition_path(&Segment::file_name(base_offset, extension))
}

fn flip(files: &SimulatedFileSystem, path: &Path, position: u64) {
    let file = files.open(path, OpenMode::ReadWrite).unwrap();
    let mut byte = [0];
    assert_eq!(file.read_at(&mut byte, position).unwrap(), 1);
    byte[0] ^= 0x10;
    write_full(&*file, &[&byte], position).unwrap();
    file.sync_data().unwrap();
}

fn options() -> RepairOptions {
    RepairOptions { salvage_name: "now".to_owned(), ..RepairOptions::default() }
}

fn run(files: &SimulatedFileSystem) -> RepairReport {
    repair(&files.env(), Path::new(DIRECTORY), &options()).unwrap()
}

fn findings(files: &SimulatedFileSystem) -> Vec<String> {
    let report = verify_data_directory(&files.env(), Path::new(DIRECTORY), None).unwrap();
    report.findings.into_iter().map(|finding| finding.detail).collect()
}

/// Every file and its content, but for those that a repair adds.
fn content_of(files: &SimulatedFileSystem, directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in files.list(directory).unwrap() {
        let path = directory.join(&entry.name);
        if entry.is_directory {
            all.extend(content_of(files, &path));
        } else {
            let bytes = read_whole(files, &path, 1 << 30).unwrap().unwrap();
            all.push((path, bytes));
        }
    }
    all
}

/// Values by offset, and gaps.
type Content = (Vec<(u64, u8)>, Vec<(u64, u64)>);

/// What is read from a log.
fn read(store: &Store, log: &Arc<Log>) -> Content {
    let (records, gaps) = tests::content_of(store, log);
    (records.into_iter().map(|(offset, value)| (offset, value[0])).collect(), gaps)
}

/// What a broker serves of a directory: the offsets that are there, the gaps, and the end.
fn served(files: &SimulatedFileSystem) -> (Vec<u64>, Vec<(u64, u64)>, u64) {
    let (store, log) = open(files, true);
    let (records, gaps) = read(&store, &log);
    let end = log.offsets().log_end;
    assert!(records.iter().all(|(offset, value)| *offset == u64::from(*value)), "{records:?}");
    store.close().unwrap();
    (records.into_iter().map(|(offset, _)| offset).collect(), gaps, end)
}

fn all_but(missing: &[u64]) -> Vec<u64> {
    (0..14).filter(|offset| !missing.contains(offset)).collect()
}

#[test]
fn an_undamaged_directory_stays_as_it_is() {
    let files = directory();
    let before = content_of(&files, Path::new(DIRECTORY));
    let report = run(&files);
    assert_eq!((report.actions, report.problems, report.salvage), (vec![], vec![], None));
    assert_eq!((report.log_count, report.record_count), (1, 14));
    assert_eq!(content_of(&files, Path::new(DIRECTORY)), before);
}

#[test]
fn a_flipped_bit_is_cut_out_with_its_batch_and_kept() {
    for (base, index, at) in [(0, 0, 90), (4, 1, 7), (4, 3, 10), (8, 3, 60), (12, 0, 16)] {
        let files = directory();
        flip(&files, &path(base, "log"), index * batch_bytes() + at);
        let damaged = read_whole(&files, &path(base, "log"), 1 << 20).unwrap().unwrap();
        let before = content_of(&files, Path::new(DIRECTORY));
        let dry = RepairOptions { is_dry_run: true, ..options() };
        let planned = repair(&files.env(), Path::new(DIRECTORY), &dry).unwrap();
        assert_eq!(content_of(&files, Path::new(DIRECTORY)), before, "a dry run changes nothing");
        let report = run(&files);
        let told = |report: &RepairReport| -> Vec<String> {
            report.actions.iter().map(|action| action.detail.clone()).collect()
        };
        assert_eq!(told(&planned), told(&report));
        let cut = report.actions.iter().find(|action| action.from_offset.is_some()).unwrap();
        let (from, position) = (base + index, index * batch_bytes());
        assert_eq!((cut.from_offset, cut.to_offset), (Some(from), Some(from + 1)), "{report:?}");
        assert_eq!((cut.position, cut.bytes), (Some(position), batch_bytes()));
        let kept = Path::new(cut.salvaged_to.as_deref().unwrap());
        let range = usize::try_from(position).unwrap()..;
        let kept = read_whole(&files, kept, 1 << 20).unwrap().unwrap();
        assert_eq!(kept, damaged[range][..kept.len()]);
        assert_eq!(findings(&files), Vec::<String>::new());
        assert_eq!(served(&files), (all_but(&[from]), vec![], 14), "byte {at} of {from}");
        assert_eq!(run(&files).actions, []);
        let json = Path::new(DIRECTORY).join("salvage/now/report.json");
        assert!(read_whole(&files, &json, 1 << 20).unwrap().is_some());
    }
}

#[test]
fn a_batch_that_cannot_be_taken_apart_is_cut_out_although_its_checksum_holds() {
    for (base, index) in [(4, 1), (4, 3), (12, 1)] {
        let files = directory();
        let mut batch = batch(0);
        let header = BatchHeader::read(&batch).unwrap();
        // The length of the only record: longer than the batch.
        batch[HEADER_BYTES] = 0x7e;
        batch[HEADER_BYTES + 1] = 0x7e;
        let offset = base + index;
        let header = BatchHeader {
            base_offset: i64::try_from(offset).unwrap(),
            crc: crc32c(&batch[21..]),
            ..header
        };
        header.write(batch.first_chunk_mut().unwrap());
        let file = files.open(&path(base, "log"), OpenMode::ReadWrite).unwrap();
        write_full(&*file, &[&batch], index * batch_bytes()).unwrap();
        assert_eq!(findings(&files).len(), 1);
        let report = run(&files);
        let cut = report.actions.iter().find(|action| action.from_offset.is_some()).unwrap();
        assert_eq!((cut.from_offset, cut.to_offset), (Some(offset), Some(offset + 1)));
        assert_eq!((cut.bytes, report.record_count), (batch_bytes(), 13));
        assert_eq!(findings(&files), Vec::<String>::new());
        assert_eq!(served(&files), (all_but(&[offset]), vec![], 14));
        assert_eq!(run(&files).actions, []);
    }
}

#[test]
fn what_was_acked_at_the_end_of_a_log_and_is_lost_is_not_given_to_others() {
    let files = directory();
    flip(&files, &path(12, "log"), batch_bytes() + 90);
    run(&files);
    assert_eq!(findings(&files), Vec::<String>::new());
    assert_eq!(served(&files), (all_but(&[13]), vec![], 14));
}

#[test]
fn segments_without_a_whole_batch_are_served_as_nothing() {
    for base in [0, 4, 12] {
        let files = directory();
        let file = files.open(&path(base, "log"), OpenMode::ReadWrite).unwrap();
        let bytes = usize::try_from(file.len().unwrap()).unwrap();
        write_full(&*file, &[&vec![0xa5; bytes]], 0).unwrap();
        run(&files);
        assert_eq!(findings(&files), Vec::<String>::new(), "{base}");
        let lost: Vec<u64> = (base..(base + 4).min(14)).collect();
        assert_eq!(served(&files), (all_but(&lost), vec![], 14), "{base}");
    }
}

#[test]
fn a_tail_that_is_no_whole_batch_is_kept_and_cut() {
    let files = directory();
    let file = files.open(&path(12, "log"), OpenMode::ReadWrite).unwrap();
    let end = file.len().unwrap();
    write_full(&*file, &[b"half a batch"], end).unwrap();
    assert_eq!(findings(&files), Vec::<String>::new(), "nobody lost anything with it");
    let report = run(&files);
    assert_eq!(report.actions.len(), 1, "{report:?}");
    assert_eq!((report.actions[0].position, report.actions[0].bytes), (Some(end), 12));
    let kept = Path::new(report.actions[0].salvaged_to.as_deref().unwrap());
    assert_eq!(read_whole(&files, kept, 100).unwrap().unwrap(), b"half a batch");
    assert_eq!(findings(&files), Vec::<String>::new());
    assert_eq!(served(&files), (all_but(&[]), vec![], 14));
}

#[test]
fn hints_that_cannot_be_believed_are_made_again_or_removed_with_a_line() {
    let names = ["4.index", "4.timeindex", "12.index", "14.snapshot", "partition.json"];
    for name in names {
        let files = directory();
        let file = match name.split_once('.') {
            Some((base, extension)) if base != "partition" => {
                path(base.parse().unwrap(), extension)
            }
            _ => partition_path(name),
        };
        flip(&files, &file, 5);
        let report = run(&files);
        let what_is_said = report.actions.len() + report.problems.len();
        assert_eq!(what_is_said, 1, "{name}: {report:?}");
        assert_eq!(findings(&files).len(), report.problems.len(), "{name}");
        assert_eq!(served(&files), (all_but(&[]), vec![], 14), "{name}");
    }
}

#[test]
fn what_a_repair_closes_is_on_the_disk() {
    let files = SimulatedFileSystem::new(1);
    let (store, log) = open(&files, false);
    store.metadata().commit(0, &[(KEY.to_owned(), Some(b"{}".to_vec()))]).unwrap();
    // Two segments and a half, of which nothing is synced when the broker dies.
    for value in 0..10 {
        log.append(&batch(value), 7).unwrap();
    }
    files.inject(Fault::new(Effect::InputOutput).times(u64::MAX));
    store.shared().scheduler.close();
    store.shared().work.close();
    drop((store, log));
    files.clear_faults();
    let made_again = run(&files).actions.iter().filter(|a| a.detail.contains("made again")).count();
    assert_eq!(made_again, 2);
    let (offsets, gaps, _) = served(&files.crash_keeping_nothing().unwrap());
    assert_eq!((offsets, gaps), ((0..8).collect(), vec![]));
}

#[test]
fn files_that_say_what_is_not_so_are_kept_and_removed() {
    let files = directory();
    let store = |name: PathBuf, bytes: &[u8]| {
        let file = files.open(&name, OpenMode::OpenOrCreate).unwrap();
        write_full(&*file, &[bytes], 0).unwrap();
    };
    store(path(4, "damage"), b"{}");
    store(partition_path("start.json"), b"{\"crc\":1,\"log_start\":3}");
    flip(&files, &Path::new(DIRECTORY).join("checkpoint"), 5);
    let report = run(&files);
    assert_eq!(report.actions.len(), 3, "{report:?}");
    assert!(report.actions.iter().all(|action| action.salvaged_to.is_some()), "{report:?}");
    assert_eq!(findings(&files), Vec::<String>::new());
    assert_eq!(served(&files), (all_but(&[]), vec![], 14));
}

#[test]
fn metadata_that_is_lost_is_made_again_and_gives_nothing_twice() {
    let files = directory();
    let (store, log) = open(&files, true);
    let epoch = log.offsets().leader_epoch;
    store.close().unwrap();
    let metadata = Path::new(DIRECTORY).join(crate::metadata::FILE_NAME);
    for is_lost in [true, false] {
        if is_lost {
            files.remove_file(&metadata).unwrap();
        } else {
            let file = files.open(&metadata, OpenMode::ReadWrite).unwrap();
            write_full(&*file, &[&[7; 9000]], 0).unwrap();
        }
        let found = inventory(&files.env(), Path::new(DIRECTORY)).unwrap();
        assert!(found.entries.is_none() && found.problem.is_some(), "{found:?}");
        let [ref orders] = found.directories[..] else { panic!("{found:?}") };
        assert_eq!(orders.topic.as_deref(), Some("orders"));
        assert_eq!((orders.topic_id, &orders.partitions), (TOPIC_ID, &vec![0]));
        let changes = vec![(KEY.to_owned(), Some(b"{}".to_vec()))];
        let metadata = MetadataRepair::Rebuild(changes);
        let options = RepairOptions { metadata, ..options() };
        let report = repair(&files.env(), Path::new(DIRECTORY), &options).unwrap();
        let [ref action] = report.actions[..] else { panic!("{report:?}") };
        assert_eq!(action.salvaged_to.is_some(), !is_lost);
        let found = inventory(&files.env(), Path::new(DIRECTORY)).unwrap();
        assert_eq!(found.entries, Some(vec![(KEY.to_owned(), b"{}".to_vec())]));
        let (store, log) = open(&files, true);
        assert!(log.offsets().leader_epoch >= epoch);
        assert!(store.metadata().allocate_producer_ids(1).unwrap() > 40);
        store.close().unwrap();
    }
    assert_eq!(served(&files), (all_but(&[]), vec![], 14));
}

#[test]
fn rebuilt_metadata_goes_on_behind_producers_that_only_a_snapshot_knows() {
    let files = directory();
    let mut producers = ProducerStates::default();
    let last = ProducerBatch { producer_id: 1000, epoch: 0, base_sequence: 0, record_count: 1 };
    producers.note(&last, 3, 4, 7);
    snapshot::store(&files, &path(8, "snapshot"), &producers, 8).unwrap();
    files.remove_file(&Path::new(DIRECTORY).join(crate::metadata::FILE_NAME)).unwrap();
    let changes = vec![(KEY.to_owned(), Some(b"{}".to_vec()))];
    let rebuild = RepairOptions { metadata: MetadataRepair::Rebuild(changes), ..options() };
    repair(&files.env(), Path::new(DIRECTORY), &rebuild).unwrap();
    let (store, _) = open(&files, true);
    // Ids were reserved before they were used, by the thousand.
    assert!(store.metadata().allocate_producer_ids(1).unwrap() > 2000);
    store.close().unwrap();
}

#[test]
fn rebuilt_metadata_goes_on_from_the_counters_of_the_old_file_if_that_opens() {
    let files = directory();
    let (store, _) = open(&files, true);
    let end = store.metadata().allocate_producer_ids(5_000_000).unwrap() + 5_000_000;
    for _ in 0..5000 {
        store.metadata().raise_leader_epoch().unwrap();
    }
    let epoch = store.metadata().leader_epoch().unwrap();
    store.close().unwrap();
    let changes = vec![(KEY.to_owned(), Some(b"{}".to_vec()))];
    let rebuild = RepairOptions { metadata: MetadataRepair::Rebuild(changes), ..options() };
    repair(&files.env(), Path::new(DIRECTORY), &rebuild).unwrap();
    let (store, _) = open(&files, true);
    assert_eq!(store.metadata().allocate_producer_ids(1).unwrap(), end);
    assert_eq!(store.metadata().leader_epoch().unwrap(), epoch);
    store.close().unwrap();
}

#[test]
fn a_directory_whose_name_only_looks_like_a_number_is_no_partition() {
    let files = directory();
    let topic = Path::new(DIRECTORY).join(format!("logs/{TOPIC_ID}"));
    let strays = ["007", "10000", "20240101", "+1"];
    for name in strays {
        files.create_directory(&topic.join(name)).unwrap();
    }
    files.remove_file(&Path::new(DIRECTORY).join(crate::metadata::FILE_NAME)).unwrap();
    let found = inventory(&files.env(), Path::new(DIRECTORY)).unwrap();
    assert_eq!(found.directories[0].partitions, [0]);
    let rebuild = RepairOptions { metadata: MetadataRepair::Rebuild(vec![]), ..options() };
    let report = repair(&files.env(), Path::new(DIRECTORY), &rebuild).unwrap();
    for name in strays {
        let is_told = |action: &RepairAction| action.detail.starts_with(&format!("{name} is no"));
        assert!(report.actions.iter().any(is_told), "{report:?}");
        assert_eq!(files.list(&topic.join(name)).unwrap(), []);
    }
}

#[test]
fn directories_are_brought_back_and_missing_ones_created() {
    let files = directory();
    let logs = Path::new(DIRECTORY).join("logs");
    let aside = Path::new(DIRECTORY).join("set-aside");
    files.create_directory(&aside).unwrap();
    let name = format!("{TOPIC_ID}-1700000000000");
    files.rename(&logs.join(TOPIC_ID.to_string()), &aside.join(&name)).unwrap();
    let found = inventory(&files.env(), Path::new(DIRECTORY)).unwrap();
    assert_eq!(found.directories[0].set_aside.as_deref(), Some(name.as_str()));
    let missing = MissingPartition { topic: "orders".to_owned(), topic_id: TOPIC_ID, partition: 1 };
    let options = RepairOptions { bring_back: vec![name], missing: vec![missing], ..options() };
    let report = repair(&files.env(), Path::new(DIRECTORY), &options).unwrap();
    assert_eq!((report.actions.len(), report.log_count), (2, 1), "{report:?}");
    assert_eq!(served(&files), (all_but(&[]), vec![], 14));
}

/// The header of the first batch in the last segment is zeros; what is known of it tells where the
/// one behind it begins.
fn zero_a_header(files: &SimulatedFileSystem) {
    let file = files.open(&path(12, "log"), OpenMode::ReadWrite).unwrap();
    write_full(&*file, &[&[0; 61]], 0).unwrap();
    file.sync_data().unwrap();
    let range = DamagedRange {
        from_offset: 12,
        to_offset: 13,
        from_position: 0,
        to_position: batch_bytes(),
    };
    let name = Segment::file_name(12, "damage");
    damage::store(files, &partition_path(""), &name, &[range]).unwrap();
    files.sync_directory(&partition_path("")).unwrap();
}

type Damaging = fn(&SimulatedFileSystem);

/// What damages a directory, and the offsets that are lost with it.
fn damages() -> [(Damaging, &'static [u64]); 3] {
    [
        (
            |files| {
                flip(files, &path(4, "log"), batch_bytes() + 90);
                flip(files, &path(12, "log"), batch_bytes() + 90);
            },
            &[5, 13],
        ),
        // A base offset that could be one where offsets may be missing.
        (|files| flip(files, &path(12, "log"), batch_bytes() + 7), &[13]),
        (zero_a_header, &[12]),
    ]
}

/// How many calls a repair of such damage makes.
fn calls_of_repair(damage: Damaging) -> u64 {
    let files = directory();
    damage(&files);
    let before = files.calls();
    run(&files);
    files.calls() - before
}

#[test]
fn a_repair_that_is_cut_short_anywhere_loses_nothing_and_is_done_again() {
    for (number, (damage, lost)) in damages().into_iter().enumerate() {
        let calls = calls_of_repair(damage);
        assert!(calls > 50, "{calls}");
        for call in 1..=calls {
            let files = directory();
            damage(&files);
            files.cut_power_at_call(call);
            let cut = repair(&files.env(), Path::new(DIRECTORY), &options());
            let case = format!("damage {number}, call {call}");
            assert!(cut.is_err() || cut.is_ok_and(|report| !report.problems.is_empty()), "{case}");
            // What a broker would serve now: headers of damaged batches may be believed.
            let copy = files.crash().unwrap();
            let (offsets, _, end) = served(&copy);
            let is_there = |offset: &u64| offsets.contains(offset);
            assert!(all_but(lost).iter().all(is_there), "{case}: {offsets:?}");
            assert_eq!(end, 14, "{case}");
            let files = files.crash().unwrap();
            run(&files);
            assert_eq!(findings(&files), Vec::<String>::new(), "{case}");
            assert_eq!(served(&files), (all_but(lost), vec![], 14), "{case}");
        }
    }
}

/// The ranges of offsets that reports tell of.
fn told_of(files: &SimulatedFileSystem) -> Vec<std::ops::Range<u64>> {
    let mut told = Vec::new();
    for name in ["first", "second"] {
        let path = Path::new(DIRECTORY).join("salvage").join(name).join("report.json");
        let Some(json) = read_whole(files, &path, 1 << 20).unwrap() else { continue };
        let report: serde_json::Value = serde_json::from_slice(&json).unwrap();
        for action in report["actions"].as_array().unwrap() {
            let offset = |name: &str| action[name].as_u64();
            if let Some(from) = offset("fromOffset") {
                told.push(from..offset("toOffset").unwrap_or(u64::MAX));
            }
        }
    }
    told
}

#[test]
fn whatever_fails_no_offset_is_cut_out_without_a_line_in_a_report() {
    let [(damage, lost), ..] = damages();
    let calls = calls_of_repair(damage);
    for effect in [Effect::PowerCut, Effect::NoSpace, Effect::InputOutput] {
        for call in 1..=calls {
            let case = format!("{effect:?} at call {call}");
            let mut files = directory();
            damage(&files);
            files.inject(Fault::new(effect).at(call));
            let named = |name: &str| RepairOptions {
                salvage_name: name.to_owned(),
                ..RepairOptions::default()
            };
            let first = repair(&files.env(), Path::new(DIRECTORY), &named("first"));
            if effect == Effect::PowerCut {
                files = files.crash().unwrap();
            }
            files.clear_faults();
            let state = state::load(&files, &partition_path("")).unwrap();
            if effect != Effect::PowerCut
                && matches!(state, Stored::State(CompactionState { swap: None, .. }))
            {
                let names = content_of(&files, &partition_path(""));
                let is_left =
                    |(path, _): &(PathBuf, _)| path.extension() == Some("cleaned".as_ref());
                assert!(!names.iter().any(is_left), "{case}: {first:?}");
            }
            repair(&files.env(), Path::new(DIRECTORY), &named("second")).unwrap();
            let (offsets, gaps, end) = served(&files);
            assert_eq!((gaps, end), (vec![], 14), "{case}");
            assert!(all_but(lost).iter().all(|offset| offsets.contains(offset)), "{case}");
            let told = told_of(&files);
            for gone in (0..14).filter(|offset| !offsets.contains(offset)) {
                assert!(told.iter().any(|range| range.contains(&gone)), "{case}: {gone}");
            }
        }
    }
}

#[test]
fn what_is_flushed_of_a_repaired_segment_is_no_tail_when_it_is_damaged_again() {
    let files = directory();
    flip(&files, &path(12, "log"), 90);
    run(&files);
    flip(&files, &path(12, "log"), 16);
    let (offsets, _, end) = served(&files);
    assert_eq!((offsets, end), (all_but(&[12, 13]), 14));
}

#[test]
fn a_repaired_segment_may_have_holes_up_to_its_end() {
    for (base, end) in [(4, 8), (12, 14)] {
        let files = directory();
        flip(&files, &path(base, "log"), 90);
        run(&files);
        let state = state::load(&files, &partition_path("")).unwrap();
        let expected = CompactionState { holes_below: end, ..CompactionState::default() };
        assert_eq!(state, Stored::State(expected));
    }
}

#[test]
fn a_partition_whose_creation_was_not_finished_is_no_damage() {
    let files = directory();
    let path = Path::new(DIRECTORY).join(format!("logs/{TOPIC_ID}/1"));
    files.create_directory(&path).unwrap();
    assert_eq!(findings(&files), Vec::<String>::new());
    files.open(&path.join("partition.json.tmp"), OpenMode::OpenOrCreate).unwrap();
    assert_eq!(findings(&files), Vec::<String>::new());
    assert_eq!(run(&files).actions, []);
    // One that has records has lost its file.
    files.open(&path.join(Segment::file_name(0, "log")), OpenMode::OpenOrCreate).unwrap();
    assert_eq!(findings(&files).len(), 1);
}
