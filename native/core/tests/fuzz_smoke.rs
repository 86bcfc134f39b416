//! The fuzz targets' functions over mutated frames and batches, from a seed that is printed.
//!
//! `MILLRACE_FUZZ_SEED` repeats a run, `MILLRACE_FUZZ_ROUNDS` makes it longer.
#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "helpers of a test outside of test functions"
)]

use std::cell::Cell;

use millrace_core::batch::validate;

#[expect(unreachable_pub, reason = "a crate of its own for the fuzz targets")]
#[path = "../../fuzz/src/lib.rs"]
mod exercise;

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
    let seed = setting("MILLRACE_FUZZ_SEED", SEED);
    println!("{name}: MILLRACE_FUZZ_SEED={seed}");
    let mut generator = Generator(seed);
    for original in originals {
        check(original);
    }
    for _ in 0..setting("MILLRACE_FUZZ_ROUNDS", ROUNDS) {
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
    run("frames", &frames, exercise::frame);
}

#[test]
fn mutations_get_past_the_checksum_and_into_the_records() {
    // What makes the other tests worth something: a check that is wrong is found to be.
    let accepted = Cell::new(0);
    let refused = Cell::new(0);
    let rules = exercise::rules();
    run("accepted", &[BATCHES[0].to_vec()], |bytes| {
        let count =
            if validate(&exercise::sealed(bytes), &rules).is_ok() { &accepted } else { &refused };
        count.set(count.get() + 1);
    });
    assert!(accepted.get() > 1 && refused.get() > 1, "{accepted:?} {refused:?}");
}

#[test]
fn mutated_batches_are_refused_or_read_to_their_end() {
    let batches = BATCHES.map(<[u8]>::to_vec);
    for batch in &batches {
        assert_eq!(&exercise::sealed(batch), batch, "sealing changes nothing that is right");
    }
    run("batches", &batches, |bytes| {
        exercise::batch(bytes);
        exercise::batch(&exercise::sealed(bytes));
    });
}
