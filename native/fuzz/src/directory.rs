//! What must hold for a data directory whose files anything may have happened to: it is refused, or
//! served without a record that was not written there, and what is missing is told of.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use millrace_core::{
    batch::{BatchBuilder, BatchHeader, Finish, HEADER_BYTES, Producer, Records},
    compaction::throttle::Unpaced,
    compression::Codec,
    env::{
        Env, OpenMode,
        transfer::{read_whole, write_full},
    },
    error::Code,
    log::{Log, config::LogConfig, read::Read},
    recovery::{RecoveryEntry, RecoveryEvent, verify::verify_data_directory},
    registry::{Store, StoreOptions, TopicSpec},
};

const DIRECTORY: &str = "/data";
const TOPIC: &str = "orders";
const PARTITIONS: u32 = 2;
const RECORDS: u8 = 40;
const KEYS: u8 = 5;
const DEDUPE_BYTES_MAX: u64 = 1 << 20;
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Bytes of the input that a change of a file takes.
const CHANGE_BYTES: usize = 5;
const CHANGES_MAX: usize = 8;

/// Values by partition and offset.
type Content = BTreeMap<(u32, u64), Vec<u8>>;

/// How a directory came to be as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Past {
    Stopped,
    Killed,
    /// Compacted, then stopped.
    Compacted,
}

/// A directory as its files, and what was stored in it.
struct Directory {
    past: Past,
    files: Vec<(PathBuf, Vec<u8>)>,
    /// What was ever appended.
    written: Content,
    /// What of it was not deleted.
    content: Content,
}

/// What became of a mutated directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is not served.
    Refused(Code),
    /// It is served, without so many records, all of which are accounted for.
    Served {
        /// Records that are gone or cannot be read.
        missing: usize,
    },
}

/// The files of a directory that was not stopped, by name: what decoders are fed with.
pub fn files() -> &'static [(PathBuf, Vec<u8>)] {
    &killed().files
}

fn killed() -> &'static Directory {
    static KILLED: OnceLock<Directory> = OnceLock::new();
    KILLED.get_or_init(|| filled(Past::Killed))
}

/// Does to a directory what `input` says: its first byte chooses one, and every five of the others
/// change a file. Then opens it, reads it, writes on and opens it again.
pub fn mutated(input: &[u8]) -> Fate {
    static STOPPED: OnceLock<Directory> = OnceLock::new();
    static COMPACTED: OnceLock<Directory> = OnceLock::new();
    let (first, changes) = input.split_first().unwrap_or((&0, &[]));
    let directory = match first % 3 {
        0 => STOPPED.get_or_init(|| filled(Past::Stopped)),
        1 => COMPACTED.get_or_init(|| filled(Past::Compacted)),
        _ => killed(),
    };
    let mut files = directory.files.clone();
    let changes = changes.chunks_exact(CHANGE_BYTES).take(CHANGES_MAX);
    for change in changes {
        let &[which, kind, high, low, value] = change else { continue };
        // The metadata file is redb's, and fuzzed for itself.
        let mut candidates: Vec<_> =
            files.iter_mut().filter(|(path, _)| !path.ends_with("metadata.redb")).collect();
        let chosen = usize::from(which) % candidates.len().max(1);
        if let Some((_, bytes)) = candidates.get_mut(chosen) {
            let at = usize::from(u16::from_be_bytes([high, low])) % (bytes.len() + 1);
            change_file(bytes, kind, at, value);
        }
        if kind % 16 == 15 {
            let path = candidates.get(chosen).map(|(path, _)| path.clone());
            files.retain(|(other, _)| Some(other) != path.as_ref());
        }
    }
    check(&files, directory)
}

fn change_file(bytes: &mut Vec<u8>, kind: u8, at: usize, value: u8) {
    match kind % 16 {
        0..=4 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (value % 8);
            }
        }
        5..=7 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        8 | 9 => bytes.truncate(at),
        10 => bytes.extend_from_within(at..bytes.len().min(at + 200)),
        11 => bytes.extend(std::iter::repeat_n(value, usize::from(value))),
        12 => {
            let end = bytes.len().min(at + 256);
            bytes[at..end].fill(0);
        }
        13 => drop(bytes.drain(at..bytes.len().min(at + usize::from(value)))),
        14 => {
            let moved = bytes.split_off(at);
            bytes.splice(0..0, moved);
        }
        _ => {}
    }
}

fn check(files: &[(PathBuf, Vec<u8>)], original: &Directory) -> Fate {
    let env = Env::memory(None);
    for (path, bytes) in files {
        env.files.create_directory(path.parent().unwrap_or(Path::new("/"))).expect("memory");
        let file = env.files.open(path, OpenMode::OpenOrCreate).expect("memory");
        write_full(&*file, &[bytes], 0).expect("memory takes it");
    }
    // Changes nothing, whatever it finds.
    let _findings = verify_data_directory(&env, Path::new(DIRECTORY), None);
    let (store, topic) = match open(&env, original.past, true) {
        Ok(opened) => opened,
        Err(code) => return Fate::Refused(code),
    };
    let mut missing = 0;
    let mut served = Content::new();
    let report = store.take_report();
    for partition in 0..PARTITIONS {
        let log = store.log(topic, partition).expect("the topic has it");
        let (records, gaps) = read_all(&store, &log);
        for (offset, value) in &records {
            // Deleted ones are back where `start.json` is lost.
            let written = original.written.get(&(partition, *offset));
            // No checksum covers a base offset, and where offsets may be missing the batch before
            // does not tell it either.
            let is_moved = original.past == Past::Compacted
                && original.written.values().any(|written| written == value);
            assert!(Some(value) == written || is_moved, "partition {partition}, offset {offset}");
        }
        missing += account_for(&report, &log, partition, &original.content, &records, &gaps);
        served.extend(records.into_iter().map(|(offset, value)| ((partition, offset), value)));
    }
    // It goes on: what is appended now comes behind everything, and is there after a stop.
    for partition in 0..PARTITIONS {
        let log = store.log(topic, partition).expect("the topic has it");
        let appended =
            log.append(&batch(0, b"new", None), 7).expect("a log that is served takes more");
        let last = served.range((partition, 0)..(partition + 1, 0)).next_back();
        assert!(last.is_none_or(|((_, offset), _)| *offset < appended.base_offset));
        served.insert((partition, appended.base_offset), b"new".to_vec());
    }
    store.drive();
    store.close().expect("memory takes it");
    let (store, topic) = open(&env, original.past, true).expect("what was served is served again");
    for partition in 0..PARTITIONS {
        let log = store.log(topic, partition).expect("the topic has it");
        for (offset, value) in read_all(&store, &log).0 {
            assert_eq!(served.remove(&(partition, offset)), Some(value));
        }
    }
    assert_eq!(served, Content::new(), "what was served is served again");
    store.close().expect("memory takes it");
    Fate::Served { missing }
}

/// Counts what is not served, and sees that somebody was told of each.
fn account_for(
    report: &[RecoveryEntry],
    log: &Log,
    partition: u32,
    content: &Content,
    records: &BTreeMap<u64, Vec<u8>>,
    gaps: &[(u64, u64)],
) -> usize {
    let subject = format!("{TOPIC}-{partition}");
    let mut told: Vec<(u64, u64)> = gaps.to_vec();
    for entry in report.iter().filter(|entry| entry.subject == subject) {
        match entry.event {
            RecoveryEvent::TailErased { offset, .. } => told.push((offset, u64::MAX)),
            RecoveryEvent::Quarantined { from_offset, to_offset, .. } => {
                told.push((from_offset, to_offset));
            }
            RecoveryEvent::SetAside { .. }
            | RecoveryEvent::Replayed { .. }
            | RecoveryEvent::JournalDamaged { .. } => {}
        }
    }
    let offsets = log.offsets();
    // What lay behind the end and left nothing behind: nothing tells that it was there.
    told.push((offsets.log_end, u64::MAX));
    let stored = content.range((partition, 0)..(partition + 1, 0)).map(|((_, offset), _)| *offset);
    let missing: Vec<u64> = stored.filter(|offset| !records.contains_key(offset)).collect();
    for offset in &missing {
        let is_told = told.iter().any(|(from, to)| (*from..*to).contains(offset));
        assert!(
            is_told,
            "partition {partition}: nobody was told of offset {offset}: {told:?}, {report:?}"
        );
    }
    missing.len()
}

fn config(past: Past) -> LogConfig {
    LogConfig {
        segment_bytes: 1_000,
        index_interval_bytes: 100,
        is_compacted: past == Past::Compacted,
        dirty_ratio_min: 0.0,
        ..LogConfig::default()
    }
}

fn open(env: &Env, past: Past, is_existing: bool) -> Result<(Arc<Store>, u32), Code> {
    let options = StoreOptions {
        data_directory: PathBuf::from(DIRECTORY),
        flush_threads_max: 0,
        descriptors_max: NonZeroUsize::new(64).expect("64 is not 0"),
        journal: None,
    };
    let store = Store::open(env.clone(), options).map_err(|error| error.code())?;
    let spec = TopicSpec {
        name: TOPIC.to_owned(),
        topic_id: uuid_of_topic(),
        partitions: PARTITIONS,
        config: config(past),
        is_existing,
    };
    match store.open_topics(&[spec]) {
        Ok(topics) => Ok((store, topics[0])),
        Err(error) => {
            // Not in order: a clean stop would say that all is well.
            store.shared().scheduler.close();
            store.shared().work.close();
            Err(error.code())
        }
    }
}

fn uuid_of_topic() -> uuid::Uuid {
    uuid::Uuid::from_u128(0x11)
}

/// A directory with several segments of two partitions, deleted records and known damage.
fn filled(past: Past) -> Directory {
    let env = Env::memory(None);
    let (store, topic) = open(&env, past, false).expect("memory takes it");
    for number in 0..RECORDS {
        let partition = u32::from(number % 4 == 3);
        let log = store.log(topic, partition).expect("the topic has it");
        let base_sequence = i32::from(number) / 2;
        let is_numbered = number % 2 == 0;
        let producer = is_numbered.then_some(Producer { id: 7, epoch: 0, base_sequence });
        log.append(&batch(number, &[number; 60], producer), 7).expect("memory takes it");
        store.drive();
    }
    let mut written = content_of(&store, topic);
    while past == Past::Compacted
        && store.compact(DEDUPE_BYTES_MAX, &Unpaced).expect("memory takes it").is_some()
    {}
    store.log(topic, 1).expect("it is there").delete_records(Some(3)).expect("memory takes it");
    let mut content = content_of(&store, topic);
    if past != Past::Killed {
        store.close().expect("memory takes it");
    } else {
        store.write_checkpoint().expect("memory takes it");
        let log = store.log(topic, 0).expect("the topic has it");
        let last = log.append(&batch(0, b"behind the checkpoint", None), 7).expect("memory");
        store.drive();
        for content in [&mut content, &mut written] {
            content.insert((0, last.base_offset), b"behind the checkpoint".to_vec());
        }
    }
    let mut files = Vec::new();
    collect(&env, Path::new(DIRECTORY), &mut files);
    if past == Past::Killed {
        store.close().expect("memory takes it");
    }
    Directory { past, files, written, content }
}

/// All that can be read of a topic without damage.
fn content_of(store: &Store, topic: u32) -> Content {
    let mut content = Content::new();
    for partition in 0..PARTITIONS {
        let log = store.log(topic, partition).expect("the topic has it");
        let (records, gaps) = read_all(store, &log);
        assert_eq!(gaps, []);
        content.extend(records.into_iter().map(|(offset, value)| ((partition, offset), value)));
    }
    content
}

fn collect(env: &Env, directory: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in env.files.list(directory).expect("memory is readable") {
        let path = directory.join(&entry.name);
        if entry.is_directory {
            collect(env, &path, files);
        } else {
            let bytes = read_whole(&*env.files, &path, FILE_BYTES_MAX).expect("memory");
            files.push((path, bytes.expect("it is small")));
        }
    }
}

/// A batch of one record, of one of a few keys.
fn batch(number: u8, value: &[u8], producer: Option<Producer>) -> Vec<u8> {
    let mut output = Vec::new();
    let mut builder = BatchBuilder::new(&mut output, Codec::None, None);
    builder
        .push(7, Some(&[number % KEYS]), Some(value), std::iter::empty())
        .expect("a small record");
    builder.finish(Finish { producer, log_append_time_ms: None }).expect("a small batch");
    output
}

/// Values by offset, and the ranges of offsets that cannot be had.
type Found = (BTreeMap<u64, Vec<u8>>, Vec<(u64, u64)>);

/// Everything that can be read.
fn read_all(store: &Store, log: &Arc<Log>) -> Found {
    let mut next = log.offsets().log_start;
    let (mut records, mut gaps) = (BTreeMap::new(), Vec::new());
    loop {
        match log.read(next, 300).expect("memory is readable") {
            Read::Batches(batches) => {
                assert!(batches.next_offset > next, "reading goes on");
                take_records(batches.bytes(), &mut records, &mut gaps);
                next = batches.next_offset;
            }
            Read::Gap { to_offset } => {
                assert!(to_offset > next, "a gap has an end");
                gaps.push((next, to_offset));
                next = to_offset;
            }
            Read::Cold(range) => range.load(store.shared()).expect("memory is readable"),
            Read::AtEnd { high_watermark } => {
                assert!(next >= high_watermark);
                return (records, gaps);
            }
            Read::OutOfRange { .. } => unreachable!("offset {next} of {:?}", log.offsets()),
        }
    }
}

/// Takes batches apart as clients do: what a clean stop left whole and went bad later is served as
/// it is, and the checksum tells it to whoever reads it.
fn take_records(
    mut bytes: &[u8],
    records: &mut BTreeMap<u64, Vec<u8>>,
    gaps: &mut Vec<(u64, u64)>,
) {
    while !bytes.is_empty() {
        let header = BatchHeader::read(bytes).expect("what is served has a header");
        let (batch, rest) = bytes.split_at(header.batch_bytes());
        bytes = rest;
        let base_offset = u64::try_from(header.base_offset).expect("offsets are positive");
        if header.verify_crc(batch).is_err() {
            let count = u64::try_from(header.last_offset_delta).expect("it was served") + 1;
            gaps.push((base_offset, base_offset + count));
            continue;
        }
        for record in Records::new(&batch[HEADER_BYTES..], header.record_count) {
            let record = record.expect("what is served reads");
            let offset = base_offset + u64::try_from(record.offset_delta).expect("it rises");
            records.insert(offset, record.value.unwrap_or_default().to_vec());
        }
    }
}
