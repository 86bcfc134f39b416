//! What a log promises, one behaviour a test.

mod clock;
mod compaction;
mod compaction_left;
mod damage;
mod describe;
mod durability;
mod lookups;
mod reading;
mod recovery;
mod retention;
mod scrubbing;
mod space;
mod starts;
mod unreadable;
mod upkeep;

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use uuid::Uuid;

use super::{
    Log,
    append::Appended,
    config::LogConfig,
    read::{Batches, Read},
    waiters::Acknowledge,
};
use crate::{
    batch::{BatchBuilder, BatchHeader, Finish, HEADER_BYTES, Producer, Records},
    compression::Codec,
    env::{
        Env, FileSystem,
        simulated::{Effect, Fault, SimulatedFileSystem},
    },
    error::Code,
    log::config::WriterChoice,
    recovery::RecoveryEntry,
    registry::{Store, StoreOptions, TopicSpec},
};

const DIRECTORY: &str = "/data";
const TOPIC_ID: Uuid = Uuid::from_u128(0x11);
const WRITERS: [WriterChoice; 2] = [WriterChoice::Pwrite, WriterChoice::Mapped];

/// Of a store that nothing but its user drives.
fn options(directory: &Path) -> StoreOptions {
    StoreOptions {
        data_directory: directory.to_owned(),
        flush_threads_max: 0,
        descriptors_max: NonZeroUsize::new(8).unwrap(),
        journal: None,
    }
}

/// The topic of these tests, of two partitions.
fn orders(config: &LogConfig, is_existing: bool) -> TopicSpec {
    TopicSpec {
        name: "orders".to_owned(),
        topic_id: TOPIC_ID,
        partitions: 2,
        config: config.clone(),
        is_existing,
    }
}

/// A store with one topic of two partitions, on whatever machine.
struct Bench {
    store: Arc<Store>,
    topic: u32,
    config: LogConfig,
}

impl Bench {
    fn open(env: Env, directory: &Path, config: &LogConfig, is_existing: bool) -> Self {
        let store = Store::open(env, options(directory)).unwrap();
        let topic = store.open_topics(&[orders(config, is_existing)]).unwrap()[0];
        Self { store, topic, config: config.clone() }
    }

    fn log(&self, partition: u32) -> Arc<Log> {
        self.store.log(self.topic, partition).unwrap()
    }

    fn append(&self, value: &[u8]) -> Appended {
        let log = self.log(0);
        let appended = log.append(&batch(value, None), 7).unwrap();
        self.store.drive();
        appended
    }

    fn report(&self) -> Vec<RecoveryEntry> {
        self.store.take_report()
    }
}

/// A simulated machine and its store.
struct Simulated {
    files: SimulatedFileSystem,
    bench: Bench,
}

impl Simulated {
    fn new(config: &LogConfig) -> Self {
        let files = SimulatedFileSystem::new(1);
        let bench = Bench::open(files.env(), Path::new(DIRECTORY), config, false);
        Self { files, bench }
    }

    fn reopened(files: SimulatedFileSystem, config: &LogConfig) -> Self {
        let bench = Bench::open(files.env(), Path::new(DIRECTORY), config, true);
        Self { files, bench }
    }

    /// The process dies; files stay as they are. `change` is what happens to them meanwhile.
    fn killed(self, change: impl FnOnce(&SimulatedFileSystem)) -> Self {
        let Self { files, bench } = self;
        files.inject(Fault::new(Effect::InputOutput).times(u64::MAX));
        bench.store.shared().scheduler.close();
        bench.store.shared().work.close();
        let config = bench.config.clone();
        drop(bench);
        files.clear_faults();
        change(&files);
        Self::reopened(files, &config)
    }

    /// The power fails, and exactly what was synced is left.
    fn cut(self) -> Self {
        let files = self.files.crash_keeping_nothing().unwrap();
        self.bench.store.shared().scheduler.close();
        self.bench.store.shared().work.close();
        Self::reopened(files, &self.bench.config)
    }
}

fn segment_path(base_offset: u64, extension: &str) -> PathBuf {
    Path::new(DIRECTORY)
        .join(format!("logs/{TOPIC_ID}/0"))
        .join(crate::segment::Segment::file_name(base_offset, extension))
}

/// Flips bits of one byte of a file.
fn flip(files: &dyn FileSystem, path: &Path, position: u64) {
    let file = files.open(path, crate::env::OpenMode::ReadWrite).unwrap();
    let mut byte = [0];
    assert_eq!(file.read_at(&mut byte, position).unwrap(), 1);
    byte[0] ^= 0x10;
    crate::env::transfer::write_full(&*file, &[&byte], position).unwrap();
}

fn batch(value: &[u8], producer: Option<Producer>) -> Vec<u8> {
    let mut output = Vec::new();
    let mut builder = BatchBuilder::new(&mut output, Codec::None, None);
    let headers = std::iter::empty();
    builder.push(7, None, Some(value), headers).unwrap();
    let finish = Finish { producer, log_append_time_ms: None };
    builder.finish(finish).unwrap();
    output
}

/// Everything that can be read, by offset, and the gaps.
pub(crate) type Content = (Vec<(u64, Vec<u8>)>, Vec<(u64, u64)>);

fn content(bench: &Bench) -> Content {
    content_of(&bench.store, &bench.log(0))
}

/// What can be read from a log.
pub(crate) fn content_of(store: &Store, log: &Arc<Log>) -> Content {
    let mut next = log.offsets().log_start;
    let (mut records, mut gaps) = (Vec::new(), Vec::new());
    loop {
        match log.read(next, 1 << 20).unwrap() {
            Read::Batches(batches) => {
                let mut bytes = batches.bytes();
                while !bytes.is_empty() {
                    let header = BatchHeader::read(bytes).unwrap();
                    let (batch, rest) = bytes.split_at(header.batch_bytes());
                    for record in Records::new(&batch[HEADER_BYTES..], header.record_count) {
                        let record = record.unwrap();
                        let offset = header.base_offset + i64::from(record.offset_delta);
                        let value = record.value.unwrap().to_vec();
                        records.push((u64::try_from(offset).unwrap(), value));
                    }
                    bytes = rest;
                }
                next = batches.next_offset;
            }
            Read::Gap { to_offset } => {
                gaps.push((next, to_offset));
                next = to_offset;
            }
            Read::Cold(range) => range.load(store.shared()).unwrap(),
            Read::AtEnd { .. } => return (records, gaps),
            Read::OutOfRange { .. } => panic!("offset {next} is out of range"),
        }
    }
}

fn offsets_of(content: &Content) -> Vec<u64> {
    content.0.iter().map(|(offset, _)| *offset).collect()
}

#[derive(Default)]
struct Told(Mutex<Vec<Code>>);

impl Acknowledge for Told {
    fn done(&self, code: Code) {
        self.0.lock().push(code);
    }
}
