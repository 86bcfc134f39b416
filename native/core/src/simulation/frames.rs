//! Frames of several connections, some of which leave the event loop, in random interleavings: the
//! records of a connection keep their order in every partition, and none is lost.

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc};

use hashbrown::HashMap;
use uuid::Uuid;

use super::{dice::Dice, first_and_runs, from_environment};
use crate::{
    batch::{BatchHeader, HEADER_BYTES, Records},
    compression::{Codec, decompress},
    env::{
        Env, ProcessLimits,
        simulated::{SimulatedClock, SimulatedFileSystem, SimulatedRandom},
    },
    layout, limits,
    log::{config::LogConfig, read::Read},
    registry::{
        Store, StoreOptions, TopicSpec,
        channel::Channel,
        produce::{ACK_NONE, ACK_WRITTEN, Frame, ProduceScratch, ProducerIdentity},
    },
};

const SMOKE_SEED: u64 = 0x6672_616d;
const SMOKE_RUNS: u64 = 60;
/// Of so many runs that are asked for one is made here: it takes as long, and finds less.
const RUNS_ONE_IN: u64 = 8;
/// Runs within which an event loop that forgets whose frames they are must have mixed something up.
const CANARY_RUNS: u64 = 20;
const OPERATIONS: u64 = 300;
const CONNECTIONS: u64 = 4;
const PARTITIONS: u32 = 2;
const CODECS: [Option<Codec>; 3] = [None, Some(Codec::Gzip), Some(Codec::Lz4)];

/// Where a record was sent: connection, topic and partition.
type Stream = (u64, usize, u32);

struct Run {
    dice: Dice,
    store: Arc<Store>,
    channel: Arc<Channel>,
    scratch: ProduceScratch,
    plan: Vec<f64>,
    topics: Vec<u32>,
    /// The next record of each stream.
    next: HashMap<Stream, u32>,
    frames_elsewhere: u64,
    forgets_connections: bool,
}

impl Run {
    fn new(seed: u64, forgets_connections: bool) -> Self {
        let dice = Dice::new(seed);
        let env = Env {
            files: Arc::new(SimulatedFileSystem::new(dice.next())),
            clock: Arc::new(SimulatedClock::new(1_700_000_000_000)),
            random: Arc::new(SimulatedRandom::new(dice.next())),
            limits: ProcessLimits::UNBOUNDED,
            controls: None,
        };
        let options = StoreOptions {
            data_directory: PathBuf::from("/var/lib/millrace"),
            flush_threads_max: 0,
            descriptors_max: NonZeroUsize::new(16).unwrap(),
            journal: None,
        };
        let store = Store::open(env, options).unwrap();
        let specs: Vec<_> = CODECS
            .into_iter()
            .enumerate()
            .map(|(index, codec)| TopicSpec {
                name: format!("topic-{index}"),
                topic_id: Uuid::from_u64_pair(dice.next(), dice.next()),
                partitions: PARTITIONS,
                config: LogConfig { codec, flush_messages: u64::MAX, ..LogConfig::default() },
                is_existing: false,
            })
            .collect();
        let topics = store.open_topics(&specs).unwrap();
        Self {
            dice,
            store,
            channel: Channel::new(0, Box::new(|| ())),
            scratch: ProduceScratch::default(),
            plan: vec![0.0; 8 * layout::PLAN_STRIDE],
            topics,
            next: HashMap::new(),
            frames_elsewhere: 0,
            forgets_connections,
        }
    }

    fn run(mut self) -> Result<u64, String> {
        for _ in 0..OPERATIONS {
            match self.dice.within(0..10) {
                0..6 => self.produce(),
                _ => {
                    self.channel.step();
                }
            }
        }
        while self.channel.step() {}
        if self.channel.elsewhere().statistics().frames != 0 {
            return Err("frames are still counted when all are done".to_owned());
        }
        self.check()?;
        Ok(self.frames_elsewhere)
    }

    fn produce(&mut self) {
        let connection = self.dice.within(0..CONNECTIONS);
        let entries: Vec<_> = (0..self.dice.within(1..4))
            .map(|_| {
                let topic = self.dice.within(0..CODECS.len() as u64) as usize;
                let partition = self.dice.within(0..u64::from(PARTITIONS)) as u32;
                let values = (0..self.dice.within(1..4))
                    .map(|_| self.value((connection, topic, partition)))
                    .collect::<Vec<_>>();
                (topic, partition, values)
            })
            .collect();
        let bytes = frame_of(&entries);
        let (_, count) = self.scratch.decode(&bytes, &mut self.plan).unwrap();
        for (row, (topic, ..)) in self.plan.chunks_exact_mut(layout::PLAN_STRIDE).zip(&entries) {
            row[layout::PLAN_TOPIC_HANDLE] = f64::from(self.topics[*topic]);
        }
        let frame = Frame {
            store: &self.store,
            channel: &self.channel,
            bytes: &bytes,
            bytes_start: 0,
            ack: self.dice.pick(&[Some(ACK_NONE), Some(ACK_WRITTEN)]),
            producer: Some(ProducerIdentity { id: -1, epoch: -1 }),
            connection: if self.forgets_connections { self.dice.next() } else { connection },
        };
        let outcome = self.scratch.append(&frame, &mut self.plan, count);
        self.frames_elsewhere += u64::from(outcome.is_elsewhere);
    }

    fn value(&mut self, stream: Stream) -> Vec<u8> {
        let number = self.next.entry(stream).or_default();
        let mut value = stream.0.to_be_bytes().to_vec();
        value.extend_from_slice(&number.to_be_bytes());
        *number += 1;
        let padding = self.dice.pick(&[0, 100, 5_000, 20_000, 70_000]);
        value.resize(value.len() + padding, 7);
        value
    }

    /// Every stream is there whole and in order.
    fn check(&self) -> Result<(), String> {
        let mut seen: HashMap<Stream, u32> = HashMap::new();
        for (index, topic) in self.topics.iter().enumerate() {
            for partition in 0..PARTITIONS {
                for (connection, number) in self.records(*topic, partition) {
                    let stream = (connection, index, partition);
                    let expected = seen.entry(stream).or_default();
                    if number != *expected {
                        return Err(format!("{stream:?}: {number} instead of {expected}"));
                    }
                    *expected += 1;
                }
            }
        }
        if seen == self.next { Ok(()) } else { Err(format!("{seen:?} of {:?}", self.next)) }
    }

    /// Connection and number of each record of a partition.
    fn records(&self, topic: u32, partition: u32) -> Vec<(u64, u32)> {
        let log = self.store.log(topic, partition).unwrap();
        let (mut records, mut offset) = (Vec::new(), 0);
        while offset < log.high_watermark() {
            match log.read(offset, limits::BATCH_BYTES_MAX).unwrap() {
                Read::Batches(batches) => {
                    take_apart(batches.bytes(), &mut records);
                    offset = batches.next_offset;
                }
                Read::Cold(range) => range.load(self.store.shared()).unwrap(),
                _ => panic!("the log has no gaps and the offset is in range"),
            }
        }
        records
    }
}

fn take_apart(mut bytes: &[u8], records: &mut Vec<(u64, u32)>) {
    while !bytes.is_empty() {
        let header = BatchHeader::read(bytes).unwrap();
        let (batch, rest) = bytes.split_at(header.batch_bytes());
        let codec = header.attributes.codec().unwrap();
        let mut section = Vec::new();
        decompress(codec, &batch[HEADER_BYTES..], 1 << 20, &mut section).unwrap();
        for record in Records::new(&section, header.record_count) {
            let value = record.unwrap().value.unwrap();
            let (connection, value) = value.split_first_chunk().unwrap();
            let number = value.first_chunk().unwrap();
            records.push((u64::from_be_bytes(*connection), u32::from_be_bytes(*number)));
        }
        bytes = rest;
    }
}

/// `[3, 1, nil, [[topic, partition, -1, 0, [[value], ...]], ...]]`
fn frame_of(entries: &[(usize, u32, Vec<Vec<u8>>)]) -> Vec<u8> {
    let mut frame = Vec::new();
    let out = &mut frame;
    rmp::encode::write_array_len(out, 4).unwrap();
    rmp::encode::write_uint(out, 3).unwrap();
    rmp::encode::write_uint(out, 1).unwrap();
    rmp::encode::write_nil(out).unwrap();
    rmp::encode::write_array_len(out, entries.len() as u32).unwrap();
    for (topic, partition, values) in entries {
        rmp::encode::write_array_len(out, 5).unwrap();
        rmp::encode::write_str(out, &format!("topic-{topic}")).unwrap();
        rmp::encode::write_uint(out, u64::from(*partition)).unwrap();
        rmp::encode::write_sint(out, -1).unwrap();
        rmp::encode::write_uint(out, 0).unwrap();
        rmp::encode::write_array_len(out, values.len() as u32).unwrap();
        for value in values {
            rmp::encode::write_array_len(out, 1).unwrap();
            rmp::encode::write_bin(out, value).unwrap();
        }
    }
    frame
}

#[test]
fn no_record_overtakes_another_of_its_connection_and_partition() {
    let (first, runs) = match from_environment("MILLRACE_SIMULATION_SEED") {
        Some(seed) => (seed, 1),
        None => first_and_runs(SMOKE_SEED, SMOKE_RUNS, RUNS_ONE_IN),
    };
    println!("runs {runs} from seed {first}");
    let mut elsewhere = 0;
    for seed in first..first + runs {
        match Run::new(seed, false).run() {
            Ok(frames) => elsewhere += frames,
            Err(what) => panic!("seed {seed}: {what}\nrepeat with MILLRACE_SIMULATION_SEED={seed}"),
        }
    }
    // A run in which nothing leaves the loop proves nothing.
    assert!(elsewhere > 20 * runs, "{elsewhere} frames left the loop in {runs} runs");
}

#[test]
fn a_loop_that_forgets_whose_frames_they_are_is_found_out() {
    let found = (0..CANARY_RUNS).any(|seed| Run::new(seed, true).run().is_err());
    assert!(found, "the simulation would not notice that records change places");
}
