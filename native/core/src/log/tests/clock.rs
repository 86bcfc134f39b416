//! What a clock that is set does to a log.

use super::*;
use crate::{batch::TimestampType, env::simulated::SimulatedClock};

const NOON_MS: i64 = 1_700_000_000_000;
const HOUR_MS: i64 = 3_600_000;
/// Of the producers, long before any of the clock's.
const PRODUCED_MS: i64 = 7;

/// How a broker ends.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Stop,
    PowerCut,
}

struct Clocked {
    files: SimulatedFileSystem,
    clock: Arc<SimulatedClock>,
    bench: Bench,
}

impl Clocked {
    fn new(config: &LogConfig) -> Self {
        let files = SimulatedFileSystem::new(5);
        let clock = Arc::new(SimulatedClock::new(NOON_MS));
        let env = Env { clock: Arc::clone(&clock) as _, ..files.env() };
        let bench = Bench::open(env, Path::new(DIRECTORY), config, false);
        Self { files, clock, bench }
    }

    /// The broker ends and comes back on the same machine, whose clock may have been set meanwhile.
    fn restarted(self, ending: Ending, wall_ms: i64) -> Self {
        let files = match ending {
            Ending::Stop => {
                self.bench.store.close().unwrap();
                self.files
            }
            Ending::PowerCut => {
                let files = self.files.crash_keeping_nothing().unwrap();
                self.bench.store.shared().scheduler.close();
                self.bench.store.shared().work.close();
                files
            }
        };
        self.clock.set_wall_ms(wall_ms);
        let env = Env { clock: Arc::clone(&self.clock) as _, ..files.env() };
        let bench = Bench::open(env, Path::new(DIRECTORY), &self.bench.config, true);
        Self { files, clock: self.clock, bench }
    }

    /// Appends a record that nobody numbered, at a time of the clock.
    fn append_at(&self, wall_ms: i64) {
        self.clock.set_wall_ms(wall_ms);
        self.bench.append(&[b'x'; 100]);
    }

    /// The largest timestamp of every batch, as readers get it.
    fn timestamps(&self) -> Vec<i64> {
        let log = self.bench.log(0);
        let mut timestamps = Vec::new();
        let mut next = log.offsets().log_start;
        loop {
            match log.read(next, 1).unwrap() {
                Read::Batches(batches) => {
                    timestamps.push(BatchHeader::read(batches.bytes()).unwrap().max_timestamp);
                    next = batches.next_offset;
                }
                Read::Cold(range) => range.load(self.bench.store.shared()).unwrap(),
                Read::AtEnd { .. } => return timestamps,
                Read::Gap { .. } | Read::OutOfRange { .. } => panic!("nothing is missing"),
            }
        }
    }
}

#[test]
fn append_time_never_goes_back_whatever_the_clock_does_and_however_the_broker_ends() {
    for ending in [Ending::Stop, Ending::PowerCut] {
        for segment_bytes in [1 << 20, 200] {
            let config = LogConfig {
                timestamp_type: TimestampType::LogAppendTime,
                segment_bytes,
                ..LogConfig::default()
            };
            let mut machine = Clocked::new(&config);
            machine.append_at(NOON_MS);
            machine.append_at(NOON_MS - HOUR_MS);
            machine = machine.restarted(ending, NOON_MS - 2 * HOUR_MS);
            machine.append_at(NOON_MS - 2 * HOUR_MS);
            machine.append_at(NOON_MS + HOUR_MS);
            machine = machine.restarted(ending, 0);
            machine.append_at(0);
            machine.append_at(NOON_MS + 2 * HOUR_MS);
            let later = NOON_MS + HOUR_MS;
            assert_eq!(
                machine.timestamps(),
                [NOON_MS, NOON_MS, NOON_MS, later, later, NOON_MS + 2 * HOUR_MS],
                "{ending:?}, segments of {segment_bytes} bytes"
            );
        }
    }
}

#[test]
fn timestamps_of_producers_are_kept_whatever_the_clock_says() {
    for ending in [Ending::Stop, Ending::PowerCut] {
        let mut machine = Clocked::new(&LogConfig::default());
        machine.append_at(NOON_MS);
        machine.append_at(NOON_MS - HOUR_MS);
        machine = machine.restarted(ending, 0);
        machine.append_at(0);
        assert_eq!(machine.timestamps(), [PRODUCED_MS; 3], "{ending:?}");
    }
}

#[test]
fn a_clock_that_goes_back_lets_no_repetition_be_stored_twice() {
    for timestamp_type in [TimestampType::CreateTime, TimestampType::LogAppendTime] {
        for ending in [Ending::Stop, Ending::PowerCut] {
            // Every batch begins a segment, where producers that are silent are forgotten.
            let config = LogConfig { timestamp_type, segment_bytes: 100, ..LogConfig::default() };
            let mut machine = Clocked::new(&config);
            let numbered = |base_sequence| {
                batch(&[b'x'; 100], Some(Producer { id: 9, epoch: 0, base_sequence }))
            };
            let first = machine.bench.log(0).append(&numbered(0), PRODUCED_MS).unwrap();
            machine.bench.store.drive();
            machine = machine.restarted(ending, NOON_MS - 1_000 * HOUR_MS);
            machine.append_at(NOON_MS - 1_000 * HOUR_MS);
            let again = machine.bench.log(0).append(&numbered(0), PRODUCED_MS).unwrap();
            assert!(again.is_duplicate, "{timestamp_type:?}, {ending:?}");
            assert_eq!(again.base_offset, first.base_offset);
        }
    }
}
