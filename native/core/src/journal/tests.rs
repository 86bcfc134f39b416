use std::path::PathBuf;

use proptest::prelude::*;

use super::{
    group::{Entry, Group, GroupName, HEAD_BYTES, parse},
    *,
};
use crate::{
    batch::{BatchBuilder, Finish, header::assign},
    compression::Codec,
    env::{
        Env, OpenMode,
        simulated::{Call, Effect, Fault, SimulatedClock, SimulatedFileSystem},
        transfer::{read_whole, write_full},
    },
    error::Code,
    log::{config::LogConfig, tests::content_of, waiters::Acknowledge},
    recovery::{RecoveryEvent, verify::verify_data_directory},
    registry::{Store, StoreOptions, TopicSpec},
};

const DIRECTORY: &str = "/data";
const PARTITIONS: u32 = 4;
const OPTIONS: JournalOptions = JournalOptions {
    logs_min: 2,
    logs_for_files: 2,
    log_bytes_max: 1_000,
    file_bytes_max: 24 << 10,
    pause_ns: 0,
};
const TOPIC_ID: uuid::Uuid = uuid::Uuid::from_u128(0x11);

/// A batch of one record at an offset.
fn batch_at(offset: u64, value: &[u8]) -> Vec<u8> {
    let mut batch = Vec::new();
    let mut builder = BatchBuilder::new(&mut batch, Codec::None, None);
    builder.push(7, None, Some(value), std::iter::empty()).unwrap();
    builder.finish(Finish { producer: None, log_append_time_ms: None }).unwrap();
    let head = batch.first_chunk_mut().unwrap();
    assign(head, i64::try_from(offset).unwrap(), 0);
    batch
}

fn key(partition: u32) -> crate::recovery::checkpoint::LogKey {
    (*TOPIC_ID.as_bytes(), partition)
}

fn add(group: &mut Group, partition: u32, from: Position, batches: &[u8], count: u64) -> bool {
    let to = Position {
        offset: from.offset + count,
        position: from.position + batches.len() as u64,
        ..from
    };
    group.add(key(partition), from, to, |place| {
        place.copy_from_slice(batches);
        true
    })
}

fn empty(name: GroupName) -> Group {
    Group::new(Vec::new(), name, GROUP_BYTES_MAX, 64 << 10)
}

proptest! {
    #[test]
    fn a_group_is_read_as_it_was_put_together(
        nonce in any::<[u8; 16]>(),
        sequence in any::<u64>(),
        logs in prop::collection::vec(
            (any::<u32>(), 0..1u64 << 40, 0..1u64 << 40, prop::collection::vec(0..300usize, 1..4)),
            1..6,
        ),
    ) {
        let name = GroupName { nonce, sequence };
        let mut group = empty(name);
        let mut expected = Vec::new();
        for (partition, segment_base, position, sizes) in logs {
            let from = Position { offset: segment_base + 3, segment_base, position };
            let values = (from.offset..).zip(&sizes);
            let batches: Vec<u8> =
                values.flat_map(|(offset, size)| batch_at(offset, &vec![1; *size])).collect();
            prop_assert!(add(&mut group, partition, from, &batches, sizes.len() as u64));
            expected.push((key(partition), from, batches, from.offset + sizes.len() as u64));
        }
        let bytes = group.finish().to_vec();
        prop_assert_eq!(bytes.len() as u64 % BLOCK_BYTES, 0);
        let (_, length) = group::head(&bytes).unwrap();
        let bytes = &bytes[..usize::try_from(length).unwrap()];
        let (read, entries) = parse(bytes).unwrap();
        prop_assert_eq!(read, name);
        prop_assert_eq!(entries.len(), expected.len());
        for (entry, (key, from, batches, next_offset)) in entries.iter().zip(&expected) {
            let Entry { segment_base, position, .. } = *entry;
            let place = (entry.key, segment_base, position);
            prop_assert_eq!(place, (*key, from.segment_base, from.position));
            prop_assert_eq!(entry.next_offset, *next_offset);
            prop_assert_eq!(&bytes[entry.at..entry.at + entry.bytes as usize], batches.as_slice());
        }
    }

    #[test]
    fn a_group_with_any_bit_flipped_or_cut_is_not_whole(
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let mut group = empty(GroupName { nonce: [1; 16], sequence: 0 });
        assert!(add(&mut group, 0, Position::default(), &batch_at(0, b"value"), 1));
        let bytes = group.finish().to_vec();
        let (_, length) = group::head(&bytes).unwrap();
        let mut bytes = bytes[..usize::try_from(length).unwrap()].to_vec();
        prop_assert!(parse(&bytes).is_some());
        let at = at.index(bytes.len());
        prop_assert!(parse(&bytes[..at]).is_none());
        bytes[at] ^= 1 << bit;
        prop_assert!(parse(&bytes).is_none());
    }
}

#[test]
fn a_log_whose_file_does_not_hold_what_was_appended_is_left_out() {
    let mut group = empty(GroupName { nonce: [1; 16], sequence: 0 });
    let batches = [batch_at(5, b"one"), batch_at(6, b"two")].concat();
    let from = Position { offset: 5, segment_base: 0, position: 100 };
    assert!(!add(&mut group, 0, from, &batches, 3), "a batch is missing");
    assert!(!add(&mut group, 0, Position { offset: 4, ..from }, &batches, 2), "of other offsets");
    let mut flipped = batches.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert!(!add(&mut group, 0, from, &flipped, 2), "a bit has flipped");
    assert!(group.is_empty());
    assert!(add(&mut group, 0, from, &batches, 2));
    let bytes = group.finish().to_vec();
    let (_, length) = group::head(&bytes).unwrap();
    assert_eq!(parse(&bytes[..usize::try_from(length).unwrap()]).unwrap().1.len(), 1);
}

#[test]
fn a_header_tells_its_number_or_is_none() {
    let this = Use { number: 7, nonce: [9; 16] };
    let bytes = header(this);
    assert_eq!(parse_header(&bytes), Some(this));
    for at in 0..bytes.len() {
        let mut flipped = bytes;
        flipped[at] ^= 1;
        assert_eq!(parse_header(&flipped), None, "byte {at}");
    }
    assert_eq!(parse_header(&bytes[..bytes.len() - 1]), None);
}

#[derive(Default)]
struct Told(Mutex<Vec<Code>>);

impl Acknowledge for Told {
    fn done(&self, code: Code) {
        self.0.lock().push(code);
    }
}

/// A store with one topic whose partitions are flushed together.
struct Machine {
    files: SimulatedFileSystem,
    clock: Arc<SimulatedClock>,
    store: Arc<Store>,
    topic: u32,
}

impl Machine {
    fn new() -> Self {
        let machine = Self::open(SimulatedFileSystem::new(1), false, Some(OPTIONS));
        // Names of segments are to be durable, and the journal's file to be there.
        machine.append_to_all(b"first");
        machine.append_to_all(b"second");
        machine
    }

    fn open(
        files: SimulatedFileSystem,
        is_existing: bool,
        journal: Option<JournalOptions>,
    ) -> Self {
        let options = StoreOptions {
            data_directory: PathBuf::from(DIRECTORY),
            flush_threads_max: 0,
            descriptors_max: std::num::NonZeroUsize::new(64).unwrap(),
            journal,
        };
        let clock = Arc::new(SimulatedClock::new(1_700_000_000_000));
        let env = Env { clock: Arc::clone(&clock) as _, ..files.env() };
        let store = Store::open(env, options).unwrap();
        let spec = TopicSpec {
            name: "orders".to_owned(),
            topic_id: TOPIC_ID,
            partitions: PARTITIONS,
            config: LogConfig::default(),
            is_existing,
        };
        let topic = store.open_topics(&[spec]).unwrap()[0];
        Self { files, clock, store, topic }
    }

    fn append(&self, partition: u32, value: &[u8]) -> Arc<Told> {
        let log = self.store.log(self.topic, partition).unwrap();
        let appended = log.append(&batch_at(0, value), 7).unwrap();
        let told = Arc::new(Told::default());
        log.when_flushed(appended.next_offset, Arc::clone(&told) as _);
        told
    }

    fn append_to_all(&self, value: &[u8]) -> Vec<Vec<Code>> {
        let told: Vec<_> = (0..PARTITIONS).map(|partition| self.append(partition, value)).collect();
        self.store.drive();
        told.iter().map(|told| told.0.lock().clone()).collect()
    }

    fn statistics(&self) -> JournalStatistics {
        self.store.shared().scheduler.journal().unwrap().statistics()
    }

    fn values(&self, partition: u32) -> Vec<Vec<u8>> {
        let log = self.store.log(self.topic, partition).unwrap();
        content_of(&self.store, &log).0.into_iter().map(|(_, value)| value).collect()
    }

    fn end(self) -> SimulatedFileSystem {
        self.store.shared().scheduler.close();
        self.store.shared().work.close();
        self.files
    }

    /// The power fails, and exactly what was synced is left.
    fn cut(self) -> SimulatedFileSystem {
        let files = self.files.crash_keeping_nothing().unwrap();
        self.end();
        files
    }
}

const ACKED: [&[Code]; PARTITIONS as usize] = [&[Code::None]; PARTITIONS as usize];

fn is_there(files: &SimulatedFileSystem, name: &str) -> bool {
    files.open(&Path::new(DIRECTORY).join(DIRECTORY_OF_FILES).join(name), OpenMode::Read).is_ok()
}

const DIRECTORY_OF_FILES: &str = super::DIRECTORY;

fn format_version(files: &SimulatedFileSystem) -> u32 {
    let path = Path::new(DIRECTORY).join(crate::registry::format::FORMAT_FILE);
    let bytes = read_whole(files, &path, 1 << 16).unwrap().unwrap();
    crate::registry::format::Format::parse(&bytes).unwrap().format_version
}

#[test]
fn what_one_sync_has_made_durable_of_many_logs_is_there_after_a_power_cut() {
    let machine = Machine::new();
    let before = machine.statistics();
    assert_eq!(machine.append_to_all(b"third"), ACKED);
    assert_eq!(machine.statistics().groups, before.groups + 1);
    assert_eq!(machine.statistics().log_flushes, before.log_flushes + u64::from(PARTITIONS));
    let machine = Machine::open(machine.cut(), true, None);
    for partition in 0..PARTITIONS {
        assert_eq!(machine.values(partition), [b"first".as_slice(), b"second", b"third"]);
    }
    let report = machine.store.take_report();
    assert!(
        report.iter().any(|entry| matches!(entry.event, RecoveryEvent::Replayed { logs: 4, .. })),
        "{report:?}"
    );
    assert!(!is_there(&machine.files, "0"), "it is in the segments now");
}

#[test]
fn one_log_alone_is_flushed_by_itself_and_a_broker_that_never_has_many_makes_no_file() {
    let machine = Machine::open(SimulatedFileSystem::new(1), false, Some(OPTIONS));
    for _ in 0..10 {
        machine.append(0, b"alone");
        machine.store.drive();
    }
    assert_eq!(machine.statistics(), JournalStatistics::default());
    assert!(!is_there(&machine.files, "0"));
    assert_eq!(format_version(&machine.files), 1);
}

#[test]
fn a_log_with_much_to_flush_goes_its_own_way_beside_the_others() {
    let machine = Machine::new();
    let before = machine.statistics();
    let much = machine.append(0, &[7; 5_000]);
    let others: Vec<_> = (1..PARTITIONS).map(|partition| machine.append(partition, b"x")).collect();
    machine.store.drive();
    assert_eq!(*much.0.lock(), [Code::None]);
    assert!(others.iter().all(|told| *told.0.lock() == [Code::None]));
    let after = machine.statistics();
    assert_eq!(after.log_flushes, before.log_flushes + u64::from(PARTITIONS) - 1);
    let machine = Machine::open(machine.cut(), true, None);
    assert_eq!(machine.values(0).len(), 3);
    assert_eq!(machine.values(1).len(), 3);
}

#[test]
fn a_file_is_used_again_once_its_logs_are_synced_and_the_checkpoint_says_so() {
    let machine = Machine::new();
    // Many times what both files hold.
    for round in 0..60u8 {
        assert_eq!(machine.append_to_all(&[round; 500]), ACKED, "round {round}");
    }
    let statistics = machine.statistics();
    assert!(statistics.bytes > 6 * OPTIONS.file_bytes_max, "{statistics:?}");
    assert_eq!(statistics.failures, 0);
    let machine = Machine::open(machine.cut(), true, None);
    for partition in 0..PARTITIONS {
        assert_eq!(machine.values(partition).len(), 62);
    }
}

#[test]
fn a_failed_sync_of_the_journal_poisons_its_group_and_retires_the_file() {
    let machine = Machine::new();
    let fault = Fault::new(Effect::InputOutput).on(Call::SyncData).with_path("/journal/");
    machine.files.inject(fault);
    let told = machine.append_to_all(b"lost");
    let refused: &[Code] = &[Code::KafkaStorageError];
    assert_eq!(told, [refused; PARTITIONS as usize]);
    for partition in 0..PARTITIONS {
        let log = machine.store.log(machine.topic, partition).unwrap();
        assert!(log.poison().is_some());
        assert_eq!(log.offsets().flushed, 2);
    }
    assert_eq!(machine.statistics().failures, 1);
    // What was acked before is only in the journal: a stop keeps it.
    assert!(machine.store.close().is_err());
    assert!(is_there(&machine.files, "0"));
    let machine = Machine::open(machine.cut(), true, None);
    for partition in 0..PARTITIONS {
        assert_eq!(machine.values(partition)[..2], [b"first".as_slice(), b"second"]);
    }
}

#[test]
fn a_failed_write_of_the_journal_costs_nobody_anything() {
    let machine = Machine::new();
    let fault = Fault::new(Effect::InputOutput).on(Call::Write).with_path("/journal/");
    machine.files.inject(fault);
    assert_eq!(machine.append_to_all(b"third"), ACKED);
    assert_eq!(machine.statistics().failures, 1);
    let machine = Machine::open(machine.cut(), true, None);
    assert_eq!(machine.values(0), [b"first".as_slice(), b"second", b"third"]);
}

#[test]
fn a_clean_stop_leaves_no_journal_and_a_start_takes_none_for_an_unclean_one() {
    let machine = Machine::new();
    assert_eq!(machine.append_to_all(b"third"), ACKED);
    assert_eq!(format_version(&machine.files), 3);
    machine.store.close().unwrap();
    assert!(!is_there(&machine.files, "0") && !is_there(&machine.files, "1"));
    let machine = Machine::open(machine.cut(), true, Some(OPTIONS));
    assert_eq!(machine.values(0), [b"first".as_slice(), b"second", b"third"]);
    assert!(machine.store.take_report().is_empty());
}

#[test]
fn a_power_cut_at_any_call_of_a_replay_loses_nothing_that_was_acked() {
    let mut nth = 0;
    loop {
        nth += 1;
        let machine = Machine::new();
        for round in 0..6 {
            assert_eq!(machine.append_to_all(&[round; 300]), ACKED);
        }
        let files = machine.cut();
        files.cut_power_at_call(nth);
        let options = StoreOptions {
            data_directory: PathBuf::from(DIRECTORY),
            flush_threads_max: 0,
            descriptors_max: std::num::NonZeroUsize::new(64).unwrap(),
            journal: None,
        };
        let opened = Store::open(files.env(), options);
        let is_complete = opened.is_ok();
        if let Ok(store) = opened {
            store.shared().scheduler.close();
            store.shared().work.close();
        }
        let machine = Machine::open(files.crash().unwrap(), true, None);
        for partition in 0..PARTITIONS {
            assert_eq!(machine.values(partition).len(), 8, "call {nth}");
        }
        if is_complete {
            break;
        }
    }
    assert!(nth > 30, "only {nth} calls");
}

/// A machine whose power was cut when the journal held records, and the path of its file.
fn with_journal() -> (SimulatedFileSystem, PathBuf) {
    let machine = Machine::new();
    for round in 0..3 {
        assert_eq!(machine.append_to_all(&[round; 20]), ACKED);
    }
    (machine.cut(), Path::new(DIRECTORY).join(super::DIRECTORY).join("0"))
}

#[test]
fn the_torn_group_at_the_end_is_nobodys_and_one_before_whole_ones_is_reported() {
    for (group, is_reported) in [(0, true), (3, false)] {
        let (files, path) = with_journal();
        let file = files.open(&path, OpenMode::ReadWrite).unwrap();
        let found = replay::find(&files, Path::new(DIRECTORY), false).unwrap();
        // The second append of all, and the three behind it.
        assert_eq!((found.groups, found.damage.len()), (4, 0));
        write_full(&*file, &[&[0xff; 8]], GROUPS_AT + group * BLOCK_BYTES + 40).unwrap();
        let found = replay::find(&files, Path::new(DIRECTORY), false).unwrap();
        assert_eq!((found.groups, !found.damage.is_empty()), (3, is_reported));
        let machine = Machine::open(files, true, None);
        let report = machine.store.take_report();
        let is_told = |event: &RecoveryEvent| matches!(event, RecoveryEvent::JournalDamaged { .. });
        assert_eq!(report.iter().any(|entry| is_told(&entry.event)), is_reported, "{report:?}");
        let aside = Path::new(DIRECTORY).join(crate::registry::directory::SET_ASIDE);
        assert_eq!(machine.files.list(&aside).is_ok(), is_reported, "it is kept");
        let log = machine.store.log(machine.topic, 0).unwrap();
        // What lies behind the lost group is kept.
        assert_eq!(log.offsets().log_end, if is_reported { 5 } else { 4 });
    }
}

#[test]
fn groups_of_an_earlier_use_of_the_file_do_not_count() {
    let (files, path) = with_journal();
    let file = files.open(&path, OpenMode::ReadWrite).unwrap();
    write_full(&*file, &[&header(Use { number: 99, nonce: [9; 16] })], 0).unwrap();
    let found = replay::find(&files, Path::new(DIRECTORY), false).unwrap();
    assert!(found.is_empty() && found.damage.is_empty());
    write_full(&*file, &[&[1; HEADER_BYTES]], 0).unwrap();
    let found = replay::find(&files, Path::new(DIRECTORY), false).unwrap();
    assert_eq!((found.is_empty(), found.damage.len()), (true, 1));
    write_full(&*file, &[&[0; HEADER_BYTES]], 0).unwrap();
    let found = replay::find(&files, Path::new(DIRECTORY), false).unwrap();
    assert_eq!((found.is_empty(), found.damage.len()), (true, 1), "its groups are there");
    write_full(&*file, &[&[0; HEAD_BYTES]], GROUPS_AT).unwrap();
    let found = replay::find(&files, Path::new(DIRECTORY), false).unwrap();
    assert!(found.is_empty() && found.damage.is_empty(), "it was never completed");
}

#[test]
fn what_a_producer_has_written_where_a_group_could_begin_is_none() {
    let (files, path) = with_journal();
    let file = files.open(&path, OpenMode::ReadWrite).unwrap();
    // As a producer would have to make it that knows all but what never leaves the broker.
    for nonce in [[0; 16], [1; 16]] {
        let mut group = empty(GroupName { nonce, sequence: 4 });
        let from = Position { offset: 1, ..Position::default() };
        assert!(add(&mut group, 0, from, &batch_at(1, b"forged"), 1));
        write_full(&*file, &[group.finish()], GROUPS_AT + 4 * BLOCK_BYTES).unwrap();
        let found = replay::find(&files, Path::new(DIRECTORY), false).unwrap();
        assert_eq!((found.groups, found.damage.len()), (4, 0));
    }
}

#[test]
fn a_stop_that_comes_while_much_is_still_to_be_synced_does_not_wait_for_it() {
    let machine = Machine::new();
    assert_eq!(machine.append_to_all(b"third"), ACKED);
    let scheduler = &machine.store.shared().scheduler;
    let journal = scheduler.journal().unwrap();
    machine.clock.advance_ms(10_000);
    journal.drain_if_due();
    assert!(journal.has_behind());
    scheduler.close();
    scheduler.sync_behind();
    assert!(journal.has_behind(), "closing the logs syncs them");
    machine.store.close().unwrap();
    assert!(!is_there(&machine.files, "0"));
}

#[test]
fn entries_of_logs_and_segments_that_are_gone_and_of_compacted_ones_are_skipped() {
    use crate::compaction::state::{self, CompactionState};
    let (files, _) = with_journal();
    let directory =
        |partition: u32| Path::new(DIRECTORY).join(format!("logs/{TOPIC_ID}/{partition}"));
    let log =
        |partition: u32| directory(partition).join(crate::segment::Segment::file_name(0, "log"));
    // Its segment was deleted, another was compacted, a third partition is not there at all.
    files.remove_file(&log(0)).unwrap();
    let state = CompactionState { holes_below: 1, ..CompactionState::default() };
    state::store(&files, &directory(1), &state).unwrap();
    for name in files.list(&directory(2)).unwrap() {
        files.remove_file(&directory(2).join(name.name)).unwrap();
    }
    files.remove_directory(&directory(2)).unwrap();
    let bytes = |partition: u32| read_whole(&files, &log(partition), 1 << 20).unwrap();
    let before = bytes(1);
    let env = files.env();
    let found = replay::find(&files, Path::new(DIRECTORY), false).unwrap();
    let data = crate::registry::directory::DataDirectory::open(&env, Path::new(DIRECTORY)).unwrap();
    let space = SpaceWatch::open(Arc::new(files.clone()), Path::new(DIRECTORY)).unwrap();
    let apply =
        |checkpoint: &mut Checkpoint| replay::apply(&space, &files, &data, &found, checkpoint, 1);
    let mut checkpoint = Checkpoint::default();
    let replayed = apply(&mut checkpoint);
    // Nobody has deleted the records of the segment that is not there.
    assert_eq!((replayed.logs, replayed.lost), (1, 4));
    assert_eq!(checkpoint.logs.keys().collect::<Vec<_>>(), [&key(3)]);
    assert_eq!(checkpoint.logs[&key(3)].flushed.offset, 5);
    assert_eq!((bytes(0), bytes(1), bytes(2)), (None, before, None));
    let again = apply(&mut Checkpoint::default());
    assert_eq!((again.entries, again.bytes), (replayed.entries, replayed.bytes));
    assert_eq!(apply(&mut checkpoint).entries, 0);
}

#[test]
fn a_check_says_what_the_next_start_brings_and_a_repair_brings_it() {
    use crate::recovery::repair::{RepairOptions, repair};
    let (files, path) = with_journal();
    let verified = verify_data_directory(&files.env(), Path::new(DIRECTORY), None).unwrap();
    assert_eq!((verified.findings.len(), verified.journaled.len()), (0, 4));
    let dry = RepairOptions { is_dry_run: true, ..RepairOptions::default() };
    let report = repair(&files.env(), Path::new(DIRECTORY), &dry).unwrap();
    assert!(report.actions.iter().any(|action| action.subject == super::DIRECTORY));
    assert!(files.open(&path, OpenMode::Read).is_ok());
    let options = RepairOptions { salvage_name: "now".to_owned(), ..RepairOptions::default() };
    let report = repair(&files.env(), Path::new(DIRECTORY), &options).unwrap();
    assert_eq!((report.problems.len(), report.record_count), (0, 5 * 4));
    assert!(files.open(&path, OpenMode::Read).is_err());
    let machine = Machine::open(files, true, None);
    assert_eq!(machine.values(0).len(), 5);
}

#[test]
fn a_repair_of_a_log_that_cannot_be_written_brings_the_others_theirs_and_keeps_the_journal() {
    use crate::recovery::repair::{RepairOptions, repair};
    let (files, path) = with_journal();
    let directory = format!("{TOPIC_ID}/1");
    files.inject(Fault::new(Effect::InputOutput).on(Call::Write).with_path(&directory));
    let options = RepairOptions { salvage_name: "now".to_owned(), ..RepairOptions::default() };
    let report = repair(&files.env(), Path::new(DIRECTORY), &options).unwrap();
    assert_eq!(report.problems.len(), 1, "{report:?}");
    assert!(report.problems[0].subject.contains(&directory));
    let kept = Path::new(DIRECTORY).join("salvage/now/journal/0");
    assert!(files.open(&kept, OpenMode::Read).unwrap().len().unwrap() > 0);
    assert!(files.open(&path, OpenMode::Read).is_err());
    let machine = Machine::open(files, true, None);
    assert_eq!((machine.values(0).len(), machine.values(3).len()), (5, 5));
}

#[test]
fn a_repair_keeps_what_of_a_journal_has_nowhere_to_go_and_gives_up_nothing_for_want_of_room() {
    use crate::recovery::repair::{RepairOptions, repair};
    let options = RepairOptions { salvage_name: "now".to_owned(), ..RepairOptions::default() };
    let repaired = |files: &SimulatedFileSystem| {
        let report = repair(&files.env(), Path::new(DIRECTORY), &options)?;
        let actions = report.actions.into_iter();
        let told = actions.filter(|action| action.subject == super::DIRECTORY);
        Ok::<_, Error>(told.map(|action| action.detail).collect::<Vec<_>>().join("; "))
    };
    let is_kept = |files: &SimulatedFileSystem| {
        let kept = Path::new(DIRECTORY).join("salvage/now/journal/0");
        files.open(&kept, OpenMode::Read).is_ok()
    };

    // Its header, and two reads for each of three groups, come before the head of the last one.
    let (files, _) = with_journal();
    files.inject(Fault::new(Effect::InputOutput).on(Call::Read).with_path("/journal/0").at(8));
    let told = repaired(&files).unwrap();
    assert!(told.contains("does not read all of it; acked records may be lost"), "{told}");
    assert!(is_kept(&files));
    assert_eq!(Machine::open(files, true, None).values(0).len(), 4);

    let (files, _) = with_journal();
    let segment = crate::segment::Segment::file_name(0, "log");
    let partition = Path::new(DIRECTORY).join("logs").join(TOPIC_ID.to_string()).join("0");
    files.remove_file(&partition.join(segment)).unwrap();
    let told = repaired(&files).unwrap();
    assert!(told.contains("4 entries are of segments that are not there"), "{told}");
    assert!(is_kept(&files));

    let (files, path) = with_journal();
    let fault = Fault::new(Effect::NoSpace).on(Call::Write).with_path(format!("{TOPIC_ID}/1"));
    files.inject(fault);
    let error = repaired(&files).unwrap_err();
    assert_eq!(error.code(), Code::DiskFull);
    assert!(error.detail().contains("make room on this disk"), "{error}");
    assert!(files.open(&path, OpenMode::Read).is_ok() && !is_kept(&files));
    repaired(&files).unwrap();
    assert_eq!(Machine::open(files, true, None).values(1).len(), 5);
}

#[test]
fn no_file_is_made_where_the_disk_is_small_or_short_of_space() {
    for (capacity, options) in
        [(64 << 20, OPTIONS), (2 << 30, JournalOptions { file_bytes_max: 4 << 30, ..OPTIONS })]
    {
        let files = SimulatedFileSystem::new(1);
        files.set_capacity_bytes(Some(capacity));
        let machine = Machine::open(files, false, Some(options));
        for _ in 0..4 {
            assert_eq!(machine.append_to_all(b"value"), ACKED);
        }
        let made = machine
            .files
            .open(&Path::new(DIRECTORY).join(super::DIRECTORY).join("0"), OpenMode::Read);
        let bytes = made.ok().map(|file| file.len().unwrap());
        assert_eq!(bytes, if capacity == 64 << 20 { None } else { Some(16 << 20) });
    }
}

#[test]
fn a_journal_that_is_not_written_to_any_more_is_synced_to_the_segments() {
    let machine = Machine::new();
    assert_eq!(machine.append_to_all(b"third"), ACKED);
    let left = |machine: &Machine| {
        let found = replay::find(&machine.files, Path::new(DIRECTORY), false).unwrap();
        let checkpoint = Checkpoint::load(&machine.files, Path::new(DIRECTORY)).unwrap();
        (found.groups, found.logs_behind(&checkpoint.unwrap_or_default()).count())
    };
    machine.clock.advance_ms(1_100);
    machine.store.drive();
    assert_eq!(left(&machine), (2, 4), "it was written to just now");
    for _ in 0..6 {
        machine.clock.advance_ms(1_100);
        machine.store.drive();
    }
    // The checkpoint tells that all is synced, and the file is there for its next use.
    assert_eq!(left(&machine), (0, 0));
    assert!(is_there(&machine.files, "0"));
    let machine = Machine::open(machine.cut(), true, None);
    assert_eq!(machine.values(0).len(), 3);
    assert!(machine.store.take_report().is_empty());
}

/// Whoever comes while a group is being made finds nobody who is woken for it: the one who makes
/// groups has to see that none is left behind.
#[test]
fn with_threads_every_append_is_acked_whatever_comes_while_groups_are_made() {
    const APPENDERS: usize = 3;
    const APPENDS: usize = 2_000;
    let directory = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        data_directory: directory.path().to_owned(),
        flush_threads_max: 4,
        descriptors_max: std::num::NonZeroUsize::new(256).unwrap(),
        journal: Some(JournalOptions { file_bytes_max: 1 << 20, ..OPTIONS }),
    };
    let store = Store::open(Env::system(), options).unwrap();
    let spec = TopicSpec {
        name: "orders".to_owned(),
        topic_id: TOPIC_ID,
        partitions: 32,
        config: LogConfig::default(),
        is_existing: false,
    };
    let topic = store.open_topics(&[spec]).unwrap()[0];
    let logs: Vec<_> = (0..32).map(|partition| store.log(topic, partition).unwrap()).collect();
    let told = Arc::new(Told::default());
    std::thread::scope(|scope| {
        for appender in 0..APPENDERS {
            let (logs, told) = (&logs, &told);
            scope.spawn(move || {
                for number in 0..APPENDS {
                    let log = &logs[(number * (appender + 1)) % logs.len()];
                    let appended = log.append(&batch_at(0, b"value"), 7).unwrap();
                    log.when_flushed(appended.next_offset, Arc::clone(told) as _);
                    // Bursts, so that groups end as often as they begin.
                    if number % 200 == 0 {
                        std::thread::sleep(std::time::Duration::from_millis(5));
                    }
                }
            });
        }
    });
    let all = APPENDERS * APPENDS;
    // A minute, for a busy machine: who is left behind waits for good.
    for _ in 0..6_000 {
        if told.0.lock().len() == all {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let told = told.0.lock();
    assert_eq!((told.len(), told.iter().all(|code| *code == Code::None)), (all, true));
    // Not every file system has a use for a journal.
    if let Some(journal) = store.shared().scheduler.journal() {
        let statistics = journal.statistics();
        assert!(statistics.groups > 0 && statistics.failures == 0, "{statistics:?}");
    }
    store.close().unwrap();
}
