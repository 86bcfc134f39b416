//! The fuzz targets' functions over mutated frames, batches, files and data directories, from a
//! seed that is printed.
//!
//! `MILLRACE_FUZZ_SEED` repeats a run, `MILLRACE_FUZZ_ROUNDS` makes it longer.
#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "helpers of a test outside of test functions"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use millrace_core::batch::{BatchHeader, validate};

#[expect(unreachable_pub, reason = "a crate of its own for the fuzz targets")]
#[path = "../../fuzz/src/lib.rs"]
mod exercise;

use exercise::{
    directory::{self, Fate},
    disk, network,
};

const SEED: u64 = 0x6d69_6c6c_7261_6365;
const ROUNDS: u64 = 20_000;
const BATCHES: [&[u8]; 5] = [
    include_bytes!("../../../test/fixtures/record-batches/none.bin"),
    include_bytes!("../../../test/fixtures/record-batches/gzip.bin"),
    include_bytes!("../../../test/fixtures/record-batches/snappy.bin"),
    include_bytes!("../../../test/fixtures/record-batches/lz4.bin"),
    include_bytes!("../../../test/fixtures/record-batches/zstd.bin"),
];
/// Bytes that mean something in MessagePack or as a length.
const TELLING_BYTES: [u8; 16] =
    [0, 1, 2, 3, 0x7f, 0x80, 0x90, 0x91, 0xa1, 0xc0, 0xc4, 0xc6, 0xcf, 0xdc, 0xdd, 0xff];

/// Memory that a decoder may take whatever is in a file: a batch, and what goes with it.
const MEMORY_BYTES_MAX: usize = 16 << 20;
/// And for each byte of the file.
const MEMORY_PER_BYTE_MAX: usize = 64;

thread_local! {
    /// Bytes that this thread has now, counted from the last look, and the most that it had.
    static MEMORY: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

/// The system's allocator, which counts what a thread asks for.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: isize) {
    MEMORY.with(|memory| {
        let (now, most) = memory.get();
        memory.set((now + bytes, most.max(now + bytes)));
    });
}

#[expect(unsafe_code, reason = "an allocator that counts is one, and hands everything on")]
// SAFETY: every call is the system allocator's own, with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the same promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the same promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps the same promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Runs a decoder of bytes from the disk within its bound of memory.
fn within_bounds(bytes: &[u8], decode: impl Fn(&[u8])) {
    MEMORY.with(|memory| memory.set((0, 0)));
    decode(bytes);
    let (_, most) = MEMORY.with(Cell::get);
    let bound = MEMORY_BYTES_MAX + MEMORY_PER_BYTE_MAX * bytes.len();
    assert!(most <= bound as isize, "{most} bytes of memory for {} of file", bytes.len());
}

/// SplitMix64.
struct Generator(u64);

impl Generator {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn mutated(&mut self, original: &[u8]) -> Vec<u8> {
        let mut bytes = original.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(6) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                1 if !bytes.is_empty() => bytes[at] = self.next() as u8,
                2 if !bytes.is_empty() => bytes[at] = TELLING_BYTES[self.below(16)],
                3 => bytes.truncate(at),
                4 => bytes.insert(at, TELLING_BYTES[self.below(16)]),
                _ => bytes.extend_from_within(at..bytes.len().min(at + 16)),
            }
        }
        bytes
    }
}

fn setting(name: &str, standard: u64) -> u64 {
    match std::env::var(name) {
        Ok(value) => value.parse().expect("a decimal number"),
        Err(_) => standard,
    }
}

fn run(name: &str, originals: &[Vec<u8>], check: impl Fn(&[u8])) {
    run_rounds(name, setting("MILLRACE_FUZZ_ROUNDS", ROUNDS), originals, check);
}

fn run_rounds(name: &str, rounds: u64, originals: &[Vec<u8>], check: impl Fn(&[u8])) {
    let seed = setting("MILLRACE_FUZZ_SEED", SEED);
    println!("{name}: MILLRACE_FUZZ_SEED={seed}");
    let mut generator = Generator(seed);
    for original in originals {
        check(original);
    }
    for _ in 0..rounds {
        let original = &originals[generator.below(originals.len())];
        check(&generator.mutated(original));
    }
}

/// `[3, 1, nil, [[topic, 0, -1, format, body]]]`
fn frame_of(format: u8, body: &[u8]) -> Vec<u8> {
    [&[0x94, 3, 1, 0xc0, 0x91, 0x95, 0xa1, b't', 0, 0xff, format], body].concat()
}

#[test]
fn mutated_frames_are_refused_or_build_valid_batches() {
    // Two records: bin with key, time and header; str alone.
    let records = [
        0x92, 0x94, 0xc4, 2, b'h', b'i', 0xa1, b'k', 0xcd, 3, 232, 0x91, 0x92, 0xa1, b'n', 0xc4, 1,
        7, 0x91, 0xa3, b'y', b'o', b'u',
    ];
    let values = [0x93, 0x91, 0x82, 1, 0x91, 2, 3, 0xca, 0, 0, 0, 0, 0x91, 0xd4, 1, 2, 0x91, 0xc0];
    let ready = [&[0xc5, 0x14, 0x4c], BATCHES[0]].concat();
    let frames =
        [frame_of(0, &records), frame_of(1, &records), frame_of(1, &values), frame_of(2, &ready)];
    run("frames", &frames, network::frame);
}

#[test]
fn mutations_get_past_the_checksum_and_into_the_records() {
    // What makes the other tests worth something: a check that is wrong is found to be.
    let accepted = Cell::new(0);
    let refused = Cell::new(0);
    let rules = network::rules();
    run("accepted", &[BATCHES[0].to_vec()], |bytes| {
        let count =
            if validate(&network::sealed(bytes), &rules).is_ok() { &accepted } else { &refused };
        count.set(count.get() + 1);
    });
    assert!(accepted.get() > 1 && refused.get() > 1, "{accepted:?} {refused:?}");
}

#[test]
fn mutated_batches_are_refused_or_read_to_their_end() {
    let batches = BATCHES.map(<[u8]>::to_vec);
    for batch in &batches {
        assert_eq!(&network::sealed(batch), batch, "sealing changes nothing that is right");
    }
    run("batches", &batches, |bytes| {
        network::batch(bytes);
        network::batch(&network::sealed(bytes));
    });
}

/// The files of a data directory whose names end like this.
fn stored(ending: &str) -> Vec<Vec<u8>> {
    let files = directory::files().iter();
    let found = files.filter(|(path, _)| path.to_string_lossy().ends_with(ending));
    let bytes: Vec<Vec<u8>> = found.map(|(_, bytes)| bytes.clone()).collect();
    assert!(!bytes.is_empty(), "no file is a {ending}");
    bytes
}

#[test]
fn mutated_indexes_are_refused_or_can_be_searched() {
    let pairs: Vec<Vec<u8>> = stored(".index")
        .iter()
        .zip(stored(".timeindex"))
        .map(|(index, times)| {
            [&(index.len() as u32).to_be_bytes(), index.as_slice(), &times].concat()
        })
        .collect();
    run("indexes", &pairs, |bytes| {
        within_bounds(bytes, |bytes| disk::index(bytes, false));
        within_bounds(bytes, |bytes| disk::index(bytes, true));
    });
}

#[test]
fn mutated_snapshots_and_checkpoints_are_refused_or_stored_again_as_they_were() {
    run("snapshots", &stored(".snapshot"), |bytes| {
        within_bounds(bytes, disk::producers);
        within_bounds(&disk::sealed(bytes), disk::producers);
    });
    run("checkpoints", &stored("checkpoint"), |bytes| {
        within_bounds(bytes, disk::checkpoint);
        within_bounds(&disk::sealed(bytes), disk::checkpoint);
    });
}

#[test]
fn mutated_groups_of_the_flush_journal_are_refused_or_lie_within_their_bounds() {
    let groups: Vec<Vec<u8>> = BATCHES
        .map(|batch| {
            let header = BatchHeader::read(batch).expect("it is a batch");
            disk::journaled(batch, header.last_offset_delta as u64 + 1)
        })
        .to_vec();
    for group in &groups {
        assert_eq!(&disk::sealed(group), group, "sealing changes nothing that is right");
    }
    run("groups", &groups, |bytes| {
        within_bounds(bytes, disk::journal);
        within_bounds(&disk::sealed(bytes), disk::journal);
    });
}

#[test]
fn mutated_files_of_json_are_refused_or_mean_the_same_when_stored_again() {
    let mut originals = vec![disk::known_damage(), disk::compaction()];
    for name in ["start.json", "partition.json", "format.json"] {
        originals.extend(stored(name));
    }
    run("json", &originals, |bytes| {
        within_bounds(bytes, disk::json);
        within_bounds(bytes, disk::damaged_ranges);
    });
}

#[test]
fn mutated_segments_are_whole_where_the_scan_says_so() {
    run("segments", &stored(".log"), |bytes| within_bounds(bytes, disk::segment));
}

#[test]
fn mutated_metadata_is_refused_or_read_and_written_on() {
    let rounds = setting("MILLRACE_FUZZ_ROUNDS", 500);
    run_rounds("metadata", rounds, &stored("metadata.redb"), |bytes| {
        within_bounds(bytes, disk::metadata);
    });
}

#[test]
fn mutated_directories_serve_nothing_that_was_not_written_and_tell_what_is_missing() {
    let fates: Cell<[u64; 3]> = Cell::default();
    let originals: Vec<Vec<u8>> = (0..6u8).map(|first| vec![first; 1 + 5 * 4]).collect();
    run_rounds("directories", setting("MILLRACE_FUZZ_ROUNDS", 1_000), &originals, |input| {
        let [mut refused, mut whole, mut harmed] = fates.get();
        match directory::mutated(input) {
            Fate::Refused(_) => refused += 1,
            Fate::Served { missing: 0 } => whole += 1,
            Fate::Served { .. } => harmed += 1,
        }
        fates.set([refused, whole, harmed]);
    });
    // What a fuzzer once found.
    for input in [
        b"\xd7\x5b\x30\xd1\xff\x00",
        b"\x05\xfe\xff\x6b\x43\x00",
        b"\x00\x2f\x28\x87\x28\xf4",
        b"\x28\x31\x29\x29\x01\x00",
    ] {
        directory::mutated(input);
    }
    println!("refused, whole, harmed: {:?}", fates.get());
    assert!(fates.get().iter().all(|count| *count > 0), "{fates:?}");
}
