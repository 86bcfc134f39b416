//! Many readers of one partition on one event loop: each is sent what it would be sent alone.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test panics")]

mod stopped_clock;

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc};

use millrace_core::{
    batch::{BatchBuilder, Finish},
    compression::Codec,
    env::Env,
    log::config::LogConfig,
    registry::{
        Store, StoreOptions, TopicSpec,
        channel::Channel,
        deliver::{Outcome, ReadRequest},
        shared_frames::SharedFrames,
    },
};
use proptest::prelude::*;
use stopped_clock::StoppedClock;

/// A log in memory, with the readers of one event loop.
struct Loop {
    store: Arc<Store>,
    channel: Arc<Channel>,
    frames: SharedFrames,
    topic: u32,
}

impl Loop {
    fn open() -> Self {
        let options = StoreOptions {
            data_directory: PathBuf::from("/data"),
            flush_threads_max: 1,
            descriptors_max: NonZeroUsize::new(64).unwrap(),
            journal: None,
        };
        let env = Env { clock: Arc::new(StoppedClock), ..Env::memory(None) };
        let store = Store::open(env, options).unwrap();
        let spec = TopicSpec {
            name: "orders".to_owned(),
            topic_id: uuid::Uuid::from_u128(7),
            partitions: 2,
            config: LogConfig { flush_messages: u64::MAX, ..LogConfig::default() },
            is_existing: false,
        };
        let topic = store.open_topics(&[spec]).unwrap()[0];
        let channel = Channel::new(1, Box::new(|| ()));
        Self { store, channel, frames: SharedFrames::default(), topic }
    }

    fn append(&self, partition: u32, values: &[usize]) {
        let mut batch = Vec::new();
        let mut builder = BatchBuilder::new(&mut batch, Codec::None, None);
        for &bytes in values {
            builder.push(7, None, Some(&vec![b'v'; bytes]), std::iter::empty()).unwrap();
        }
        builder.finish(Finish::default()).unwrap();
        self.store.log(self.topic, partition).unwrap().append(&batch, 7).unwrap();
    }

    fn request(&self, connection: u64, partition: u32, offset: u64) -> ReadRequest {
        ReadRequest {
            topic: self.topic,
            partition,
            offset,
            subscription: u32::try_from(connection).unwrap() * 100,
            records_max: 1_000,
            bytes_max: 1 << 20,
            connection,
        }
    }

    /// What a reader gets of the loop's frames: where to go on, and the frame.
    fn shared(&mut self, request: &ReadRequest) -> Option<(u64, Vec<u8>)> {
        let outcome = self.store.read_shared(&self.channel, request, &mut self.frames).unwrap();
        next_offset(&outcome).map(|next| (next, self.frames.last().to_vec()))
    }

    /// What it gets when nobody else is there.
    fn alone(&self, request: &ReadRequest) -> Option<(u64, Vec<u8>)> {
        let mut frame = Vec::new();
        let outcome = self.store.read_records(&self.channel, request, &mut frame).unwrap();
        next_offset(&outcome).map(|next| (next, frame))
    }
}

fn next_offset(outcome: &Outcome) -> Option<u64> {
    match outcome {
        Outcome::Records { next_offset, .. } => Some(*next_offset),
        Outcome::AtEnd { .. } => None,
        _ => panic!("memory is neither cold nor damaged, and the offset is in range"),
    }
}

#[test]
fn every_reader_has_the_frame_that_it_would_have_alone() {
    let mut this = Loop::open();
    this.append(0, &[10; 300]);
    for connection in 1..=5 {
        let request = this.request(connection, 0, 0);
        assert_eq!(this.shared(&request), this.alone(&request), "connection {connection}");
    }
}

#[test]
fn a_frame_is_not_encoded_again_for_the_third_reader() {
    let mut this = Loop::open();
    this.append(0, &[100_000; 2]);
    let place = |this: &mut Loop, connection| {
        let request = this.request(connection, 0, 0);
        this.shared(&request).unwrap();
        this.frames.last().as_ptr()
    };
    // The first reader's frame is not kept: most partitions have one reader.
    place(&mut this, 1);
    let second = place(&mut this, 2);
    let request = this.request(9, 1, 0);
    assert_eq!(this.shared(&request), None, "the other partition is empty");
    assert_eq!(place(&mut this, 3), second);
}

#[test]
fn nobody_gets_less_because_another_one_asked_for_less() {
    let mut this = Loop::open();
    this.append(0, &[10; 300]);
    for connection in 1..=3 {
        let request = ReadRequest { records_max: 1, ..this.request(connection, 0, 0) };
        assert_eq!(this.shared(&request).unwrap().0, 1);
    }
    let request = this.request(4, 0, 0);
    assert_eq!(this.shared(&request).unwrap().0, 300);
}

#[test]
fn a_frame_that_was_kept_is_not_given_out_below_the_log_start() {
    let mut this = Loop::open();
    this.append(0, &[10; 300]);
    for connection in 1..=3 {
        let request = this.request(connection, 0, 0);
        this.shared(&request).unwrap();
    }
    this.store.delete_records(this.topic, 0, Some(100)).unwrap();
    let request = this.request(4, 0, 0);
    let outcome = this.store.read_shared(&this.channel, &request, &mut this.frames).unwrap();
    assert!(matches!(outcome, Outcome::OutOfRange { log_start: 100, .. }));
}

proptest! {
    /// Readers of any pace and credit, with appends in between: each reads every record once.
    #[test]
    fn readers_of_any_pace_read_what_they_would_alone(
        steps in prop::collection::vec(
            prop_oneof![
                (0_u32..2, prop::collection::vec(0_usize..3_000, 1..20))
                    .prop_map(|(partition, values)| Step::Append(partition, values)),
                (1_u64..6, 0_u32..2, 1_u32..30, 1_u64..20_000).prop_map(
                    |(connection, partition, records_max, bytes_max)| {
                        Step::Read { connection, partition, records_max, bytes_max }
                    }
                ),
            ],
            1..200,
        ),
    ) {
        let mut this = Loop::open();
        let mut offsets = [[0_u64; 6]; 2];
        for step in steps {
            match step {
                Step::Append(partition, values) => this.append(partition, &values),
                Step::Read { connection, partition, records_max, bytes_max } => {
                    let position = &mut offsets[partition as usize][connection as usize];
                    let request = this.request(connection, partition, *position);
                    let request = ReadRequest { records_max, bytes_max, ..request };
                    let (shared, alone) = (this.shared(&request), this.alone(&request));
                    prop_assert_eq!(shared.is_some(), alone.is_some());
                    let (Some((next, frame)), Some((_, whole))) = (shared, alone) else { continue };
                    // It may hold less than there is by now, but the same records.
                    let exact = ReadRequest {
                        records_max: u32::try_from(next - *position).unwrap(),
                        bytes_max: 1 << 20,
                        ..request
                    };
                    prop_assert_eq!(this.alone(&exact), Some((next, frame.clone())));
                    prop_assert!(frame.len() <= whole.len());
                    *position = next;
                }
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append(u32, Vec<usize>),
    Read { connection: u64, partition: u32, records_max: u32, bytes_max: u64 },
}
