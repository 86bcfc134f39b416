//! Build, validate and iterate agree with each other, with Kafka's own client, and refuse the rest.

use proptest::prelude::*;

use super::{
    header::{NO_TIMESTAMP, assign, set_log_append_time, set_max_timestamp},
    *,
};
use crate::{
    compression::{Codec, decompress},
    error::{Code, Error, Result},
    limits::{BATCH_BYTES_DECOMPRESSED_MAX, BATCH_BYTES_MAX},
};

const NOW_MS: i64 = 1_700_000_000_000;
const LENGTH_AT: usize = 8;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;

/// A record as tests write it down.
#[derive(Debug, Clone, PartialEq)]
struct Owned {
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn plain(value: &str) -> Owned {
    Owned {
        timestamp_ms: NOW_MS,
        key: Some(b"key".to_vec()),
        value: Some(value.as_bytes().to_vec()),
        headers: Vec::new(),
    }
}

fn rules() -> Rules {
    Rules {
        bytes_max: 1_048_588,
        compacted: false,
        timestamp: TimestampRule::CreateTime {
            now_ms: NOW_MS,
            before_ms_max: i64::MAX,
            after_ms_max: 3_600_000,
        },
    }
}

fn build(codec: Codec, records: &[Owned], finish: Finish) -> Result<Vec<u8>> {
    let mut output = b"front".to_vec();
    let mut builder = BatchBuilder::new(&mut output, codec, None);
    for record in records {
        let headers = record
            .headers
            .iter()
            .map(|(name, value)| Header { name: name.as_bytes(), value: value.as_deref() });
        let before = builder.bytes();
        builder.push(
            record.timestamp_ms,
            record.key.as_deref(),
            record.value.as_deref(),
            headers,
        )?;
        assert!(builder.bytes() > before);
    }
    let built = builder.finish(finish)?;
    assert_eq!(built.range, 5..output.len());
    assert_eq!(built.record_count as usize, records.len());
    Ok(output.split_off(5))
}

fn batch_of(records: &[Owned]) -> Vec<u8> {
    build(Codec::None, records, Finish::default()).unwrap()
}

fn read_back(batch: &[u8]) -> Result<Vec<Owned>> {
    let header = BatchHeader::read(batch)?;
    let mut section = Vec::new();
    let codec = header.attributes.codec()?;
    decompress(codec, &batch[HEADER_BYTES..], BATCH_BYTES_DECOMPRESSED_MAX, &mut section)?;
    let mut records = Vec::new();
    for record in Records::new(&section, header.record_count) {
        let record = record?;
        assert_eq!(record.offset_delta as usize, records.len());
        let mut headers = Vec::new();
        for entry in record.headers {
            let entry = entry?;
            let name = String::from_utf8(entry.name.to_vec()).unwrap();
            headers.push((name, entry.value.map(<[u8]>::to_vec)));
        }
        records.push(Owned {
            timestamp_ms: header.base_timestamp + record.timestamp_delta,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers,
        });
    }
    Ok(records)
}

/// Overwrites bytes of the batch and makes length and checksum right again.
fn forged(batch: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut forged = batch.to_vec();
    forged[at..at + bytes.len()].copy_from_slice(bytes);
    resealed(forged)
}

fn resealed(mut batch: Vec<u8>) -> Vec<u8> {
    let length = (batch.len() - 12) as i32;
    batch[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_be_bytes());
    let crc = header::crc32c(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    batch
}

/// A batch of one record whose section is given byte by byte.
fn with_section(section: &[u8]) -> Vec<u8> {
    let mut batch = batch_of(&[plain("x")]);
    batch.truncate(HEADER_BYTES);
    batch.extend_from_slice(section);
    resealed(batch)
}

fn refusal(batch: &[u8], rules: &Rules) -> Error {
    let error = validate(batch, rules).unwrap_err();
    assert_eq!(
        validate_within(batch, rules, &mut u64::MAX.clone(), &mut Vec::new()).unwrap_err(),
        error
    );
    error
}

fn code(batch: &[u8]) -> Code {
    refusal(batch, &rules()).code()
}

#[test]
fn crc_is_castagnoli() {
    assert_eq!(header::crc32c(b"123456789"), 0xe306_9283);
}

#[test]
fn a_header_reads_back_as_written() {
    let batch = batch_of(&[plain("a"), plain("b")]);
    let header = BatchHeader::read(&batch).unwrap();
    let mut written = [0xff; HEADER_BYTES];
    header.write(&mut written);
    assert_eq!(written[..], batch[..HEADER_BYTES]);
    assert_eq!(header.batch_bytes(), batch.len());
    assert_eq!(header.last_offset(), 1);
    assert_eq!(header.producer(), None);
}

#[test]
fn offset_and_epoch_are_assigned_outside_the_checksum() {
    let mut batch = batch_of(&[plain("a"), plain("b")]);
    assign(batch.first_chunk_mut().unwrap(), 1_000, 7);
    let header = BatchHeader::read(&batch).unwrap();
    assert_eq!((header.base_offset, header.leader_epoch, header.last_offset()), (1_000, 7, 1_001));
    header.verify_crc(&batch).unwrap();
}

#[test]
fn stamping_the_brokers_time_keeps_the_checksum_right() {
    let mut batch = batch_of(&[plain("a")]);
    let (front, rest) = batch.split_first_chunk_mut::<HEADER_BYTES>().unwrap();
    set_log_append_time(front, rest, NOW_MS + 5);
    let header = BatchHeader::read(&batch).unwrap();
    header.verify_crc(&batch).unwrap();
    assert_eq!(header.attributes.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(header.max_timestamp, NOW_MS + 5);

    let finish = Finish { log_append_time_ms: Some(NOW_MS + 5), ..Finish::default() };
    assert_eq!(build(Codec::None, &[plain("a")], finish).unwrap(), batch);
}

#[test]
fn a_flipped_batch_is_corrupt_and_what_is_cut_off_is_none() {
    let batch = batch_of(&[plain("value")]);
    let header = BatchHeader::read(&batch).unwrap();
    assert!(header.verify_crc(&batch[..batch.len() - 1]).is_err());
    for length in 0..batch.len() {
        assert_eq!(code(&batch[..length]), Code::InvalidRecord, "cut after {length}");
    }
    let mut flipped = batch.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert_eq!(code(&flipped), Code::CorruptMessage);
}

#[test]
fn every_flipped_bit_is_refused_or_lies_outside_the_checksum() {
    for codec in Codec::ALL {
        let batch = build(codec, &[plain("one"), plain("two")], Finish::default()).unwrap();
        for bit in 0..batch.len() * 8 {
            let mut flipped = batch.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let outside = bit / 8 < LENGTH_AT || (12..16).contains(&(bit / 8));
            assert_eq!(validate(&flipped, &rules()).is_ok(), outside, "{codec:?}, bit {bit}");
        }
    }
}

#[test]
fn other_versions_and_lengths_are_refused() {
    let batch = batch_of(&[plain("a")]);
    for (magic, expected) in [
        (0, Code::InvalidRecord),
        (1, Code::InvalidRecord),
        (3, Code::CorruptMessage),
        (0xff, Code::CorruptMessage),
    ] {
        assert_eq!(code(&forged(&batch, 16, &[magic])), expected);
    }
    let behind_end = i32::try_from(batch.len()).unwrap() - 11;
    for (length, expected) in [
        (i32::MIN, Code::CorruptMessage),
        (-1, Code::CorruptMessage),
        (0, Code::CorruptMessage),
        (48, Code::CorruptMessage),
        (behind_end, Code::InvalidRecord),
        (8_388_597, Code::InvalidRecord),
        (i32::MAX, Code::InvalidRecord),
    ] {
        let mut lying = batch.clone();
        lying[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_be_bytes());
        assert_eq!(code(&lying), expected, "{length}");
    }
}

#[test]
fn exactly_one_batch_of_the_topics_size_is_accepted() {
    let batch = batch_of(&[plain("a")]);
    let twice = [batch.as_slice(), &batch].concat();
    assert_eq!(code(&twice), Code::InvalidRecord);
    let bytes = batch.len() as u64;
    assert!(validate(&batch, &Rules { bytes_max: bytes, ..rules() }).is_ok());
    let error = refusal(&batch, &Rules { bytes_max: bytes - 1, ..rules() });
    assert_eq!(error.code(), Code::MessageTooLarge);
}

#[test]
fn attributes_that_producers_may_not_set_are_refused() {
    let batch = batch_of(&[plain("a")]);
    for (bits, expected) in [
        (0b101, Code::UnsupportedCompressionType),
        (0b111, Code::UnsupportedCompressionType),
        (1 << 3, Code::InvalidTimestamp),
        (1 << 4, Code::InvalidRecord),
        (1 << 5, Code::InvalidRecord),
        (1 << 6, Code::InvalidRecord),
    ] {
        assert_eq!(code(&forged(&batch, ATTRIBUTES_AT + 1, &[bits])), expected, "{bits:b}");
    }
}

#[test]
fn a_batch_larger_than_any_is_not_worth_sending_again() {
    let mut batch = batch_of(&[plain("a")]);
    let bytes = usize::try_from(BATCH_BYTES_MAX).unwrap() + 1;
    batch.resize(bytes, 0);
    let length = i32::try_from(bytes - 12).unwrap();
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    assert_eq!(code(&batch), Code::MessageTooLarge);
    batch.pop();
    assert_eq!(code(&batch), Code::InvalidRecord);
}

#[test]
fn counts_and_offset_deltas_must_agree() {
    let batch = batch_of(&[plain("a"), plain("b")]);
    for count in [i32::MIN, -1, 0, 1, 3, 1_000_000] {
        assert_eq!(code(&forged(&batch, 57, &count.to_be_bytes())), Code::InvalidRecord);
        let mut both = batch.clone();
        both[23..27].copy_from_slice(&count.wrapping_sub(1).to_be_bytes());
        assert_eq!(code(&forged(&both, 57, &count.to_be_bytes())), Code::InvalidRecord);
    }
    let mut huge = batch.clone();
    huge[23..27].copy_from_slice(&(i32::MAX - 1).to_be_bytes());
    assert_eq!(code(&forged(&huge, 57, &i32::MAX.to_be_bytes())), Code::MessageTooLarge);
    // The second record's offset delta, behind length, attributes and timestamp delta.
    let second = HEADER_BYTES + (batch.len() - HEADER_BYTES) / 2;
    assert_eq!(batch[second + 3], 2);
    assert_eq!(code(&forged(&batch, second + 3, &[4])), Code::InvalidRecord);
}

#[test]
fn lying_lengths_inside_records_are_refused() {
    // length, attributes, timestamp delta, offset delta, key, value, headers
    assert!(validate(&with_section(&[12, 0, 0, 0, 1, 1, 0]), &rules()).is_ok());
    let lies: [&[u8]; 15] = [
        &[],
        &[12],
        &[10, 0, 0, 0, 1, 1, 0],
        &[14, 0, 0, 0, 1, 1, 0],
        &[1, 0, 0, 0, 1, 1, 0],
        &[12, 0, 0, 0, 3, 1, 0],
        &[12, 0, 0, 0, 1, 3, 0],
        &[12, 0, 0, 0, 1, 2, 0],
        &[12, 0, 0, 0, 1, 1, 1],
        &[12, 0, 0, 0, 1, 1, 2],
        &[12, 0, 0, 0, 1, 1, 0, 0],
        &[20, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0],
        // Filled up beyond the five bytes that Kafka reads: a length, a value's, a count.
        &[0x8c, 0x80, 0x80, 0x80, 0x80, 0, 0, 0, 0, 1, 1, 0],
        &[22, 0, 0, 0, 1, 0x81, 0x80, 0x80, 0x80, 0x80, 0, 0],
        &[22, 0, 0, 0, 1, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0],
    ];
    for section in lies {
        assert_eq!(code(&with_section(section)), Code::InvalidRecord, "{section:?}");
    }
    let nameless = [16, 0, 0, 0, 1, 1, 2, 1, 1];
    assert_eq!(code(&with_section(&nameless)), Code::InvalidRecord);
    let empty_header = [16, 0, 0, 0, 1, 1, 2, 0, 1];
    assert!(validate(&with_section(&empty_header), &rules()).is_ok());
    let five_bytes = [20, 0, 0, 0, 1, 0x81, 0x80, 0x80, 0x80, 0, 0];
    assert!(validate(&with_section(&five_bytes), &rules()).is_ok());
}

#[test]
fn a_compacted_topic_needs_keys() {
    let mut keyless = plain("b");
    keyless.key = None;
    let compacted = Rules { compacted: true, ..rules() };
    let keyed = batch_of(&[plain("a"), plain("b")]);
    assert!(validate(&keyed, &compacted).is_ok());
    let batch = batch_of(&[plain("a"), keyless]);
    assert!(validate(&batch, &rules()).is_ok());
    let error = refusal(&batch, &compacted);
    assert_eq!(error.code(), Code::InvalidRecord);
    assert!(error.detail().contains("record 1"), "{error}");
}

#[test]
fn the_records_that_a_topic_does_not_accept_are_told() {
    let strict = Rules {
        compacted: true,
        timestamp: TimestampRule::CreateTime {
            now_ms: NOW_MS,
            before_ms_max: 1_000,
            after_ms_max: 500,
        },
        ..rules()
    };
    let keyless = Owned { key: None, ..plain("no key") };
    let late = Owned { timestamp_ms: NOW_MS + 501, ..plain("late") };
    let both = Owned { timestamp_ms: NOW_MS + 501, ..keyless.clone() };
    let (no_key, too_late) = (Reason::NoKey, Reason::Timestamp(NOW_MS + 501));
    let told = |index, reason| RefusedRecord { index, reason };
    let good = plain("good");
    let cases = [
        (vec![&good, &keyless, &good], Code::InvalidRecord, vec![told(1, no_key)]),
        // A key that is missing is found first, a timestamp decides what the batch is refused as.
        (
            vec![&both, &good, &late, &keyless],
            Code::InvalidTimestamp,
            vec![told(0, no_key), told(2, too_late), told(3, no_key)],
        ),
        (vec![&late, &keyless], Code::InvalidTimestamp, vec![told(0, too_late), told(1, no_key)]),
    ];
    for codec in Codec::ALL {
        for (records, code, expected) in &cases {
            let records: Vec<_> = records.iter().map(|record| (*record).clone()).collect();
            let batch = build(codec, &records, Finish::default()).unwrap();
            let mut refused = vec![told(99, no_key)];
            let error = validate_within(&batch, &strict, &mut 1_000_000, &mut refused).unwrap_err();
            assert_eq!((error.code(), &refused), (*code, expected), "{codec:?}");
            // Not what could not be looked at to its end here.
            if codec != Codec::None {
                let found = validate_within(&batch, &strict, &mut 10, &mut refused);
                assert_eq!((found, &*refused), (Ok(None), &[][..]), "{codec:?}");
            }
        }
    }
    // A record that is none counts more than those before it.
    let mut broken = batch_of(&[keyless, late]);
    broken.push(0);
    let mut refused = Vec::new();
    let found = validate_within(&resealed(broken), &strict, &mut 0, &mut refused);
    assert_eq!(found.unwrap_err().code(), Code::InvalidRecord);
    assert_eq!(refused, []);
    assert_eq!(no_key.message(&strict), "a compacted topic needs a key in every record");
    assert_eq!(
        Reason::Timestamp(5).message(&strict),
        format!("the timestamp 5 is not within {} to {}", NOW_MS - 1_000, NOW_MS + 500)
    );
}

#[test]
fn no_more_refused_records_are_told_than_an_answer_holds() {
    let keyless = Owned { key: None, ..plain("no key") };
    let batch = batch_of(&vec![keyless; 1_500]);
    let mut refused = Vec::new();
    let compacted = Rules { compacted: true, ..rules() };
    validate_within(&batch, &compacted, &mut 0, &mut refused).unwrap_err();
    assert_eq!(refused.len(), 1_000);
    assert_eq!(refused[999].index, 999);
}

#[test]
fn what_does_not_decompress_is_not_sent_again() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut batch = build(codec, &[plain("a"), plain("b")], Finish::default()).unwrap();
        batch.truncate(HEADER_BYTES);
        batch.extend_from_slice(b"this is not compressed");
        let error = refusal(&resealed(batch), &rules());
        assert_eq!(error.code(), Code::RecordsNotDecompressed, "{codec:?}");
    }
}

#[test]
fn timestamps_are_held_to_the_topics_bounds() {
    let bounded = Rules {
        timestamp: TimestampRule::CreateTime {
            now_ms: NOW_MS,
            before_ms_max: 1_000,
            after_ms_max: 500,
        },
        ..rules()
    };
    for (timestamp_ms, accepted) in [
        (NOW_MS, true),
        (NOW_MS - 1_000, true),
        (NOW_MS - 1_001, false),
        (NOW_MS + 500, true),
        (NOW_MS + 501, false),
        (NO_TIMESTAMP, true),
        (i64::MAX, false),
    ] {
        let batch = batch_of(&[Owned { timestamp_ms, ..plain("a") }]);
        match validate(&batch, &bounded) {
            Ok(summary) => {
                assert!(accepted, "{timestamp_ms}");
                assert_eq!(summary.max_timestamp_ms, timestamp_ms);
            }
            Err(error) => {
                assert!(!accepted, "{timestamp_ms}");
                assert_eq!(error.code(), Code::InvalidTimestamp);
            }
        }
        let broker = TimestampRule::LogAppendTime { now_ms: NOW_MS };
        let summary = validate(&batch, &Rules { timestamp: broker, ..rules() }).unwrap();
        assert_eq!(summary.max_timestamp_ms, NOW_MS);
    }
    let mut overflowing = batch_of(&[Owned { timestamp_ms: NOW_MS, ..plain("a") }]);
    overflowing[27..35].copy_from_slice(&i64::MIN.to_be_bytes());
    overflowing.truncate(HEADER_BYTES);
    overflowing.extend_from_slice(&[14, 0, 1, 0, 1, 1, 0]);
    overflowing[HEADER_BYTES] = 12;
    assert_eq!(code(&resealed(overflowing)), Code::InvalidTimestamp);
}

#[test]
fn a_wrong_maximum_timestamp_is_reported_and_can_be_repaired() {
    let mut late = plain("b");
    late.timestamp_ms += 10;
    let batch = batch_of(&[plain("a"), late, plain("c")]);
    let summary = validate(&batch, &rules()).unwrap();
    assert!(!summary.max_timestamp_is_wrong);
    assert_eq!(summary.offset_of_max_timestamp_delta, 1);
    assert_eq!(summary.max_timestamp_ms, NOW_MS + 10);

    let mut lying = forged(&batch, 35, &[0; 8]);
    let summary = validate(&lying, &rules()).unwrap();
    assert!(summary.max_timestamp_is_wrong);
    let (front, rest) = lying.split_first_chunk_mut::<HEADER_BYTES>().unwrap();
    set_max_timestamp(front, rest, summary.max_timestamp_ms);
    assert_eq!(lying, batch);
}

#[test]
fn an_idempotent_producer_needs_epoch_and_sequence() {
    let producer = Producer { id: 12, epoch: 3, base_sequence: 40 };
    let finish = Finish { producer: Some(producer), ..Finish::default() };
    let batch = build(Codec::None, &[plain("a")], finish).unwrap();
    assert_eq!(validate(&batch, &rules()).unwrap().producer, Some(producer));
    assert_eq!(code(&forged(&batch, 51, &(-1_i16).to_be_bytes())), Code::InvalidRecord);
    assert_eq!(code(&forged(&batch, 53, &(-1_i32).to_be_bytes())), Code::InvalidRecord);
}

#[test]
fn a_decompression_bomb_is_refused_without_being_held() {
    let mut section = Vec::new();
    let zeros = vec![0; 70_000_000];
    crate::compression::compress(Codec::Zstd, None, &zeros, &mut section).unwrap();
    assert!(section.len() < 10_000);
    // The second record claims the zeros as its value: 140,000,000 bytes, zigzag.
    let mut batch = build(Codec::Zstd, &[plain("a")], Finish::default()).unwrap();
    batch.truncate(HEADER_BYTES);
    batch.extend_from_slice(&section);
    // Records of length 0 are refused at once.
    assert_eq!(code(&resealed(batch.clone())), Code::InvalidRecord);

    let mut bomb = vec![0x80, 0x8c, 0xe0, 0x42, 0, 0, 0, 1, 0xe0, 0x8b, 0xe0, 0x42];
    bomb.extend_from_slice(&zeros);
    section.clear();
    crate::compression::compress(Codec::Zstd, None, &bomb, &mut section).unwrap();
    batch.truncate(HEADER_BYTES);
    batch.extend_from_slice(&section);
    assert_eq!(code(&resealed(batch)), Code::MessageTooLarge);
}

#[test]
fn a_batch_that_expands_far_is_left_to_another_thread() {
    let records: Vec<_> = (0..100).map(|_| plain(&"x".repeat(2_000))).collect();
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let batch = build(codec, &records, Finish::default()).unwrap();
        let mut left = 100_000;
        assert_eq!(
            validate_within(&batch, &rules(), &mut left, &mut Vec::new()).unwrap(),
            None,
            "{codec:?}"
        );
        let mut left = 500_000;
        let summary =
            validate_within(&batch, &rules(), &mut left, &mut Vec::new()).unwrap().unwrap();
        assert_eq!(summary, validate(&batch, &rules()).unwrap());
        assert!(summary.decompressed_bytes > 200_000);
        assert_eq!(left, 500_000 - summary.decompressed_bytes);
        validate_within(&batch, &rules(), &mut left, &mut Vec::new()).unwrap().unwrap();
        assert_eq!(
            validate_within(&batch, &rules(), &mut left, &mut Vec::new()).unwrap(),
            None,
            "{codec:?}"
        );
    }
    let plain_batch = build(Codec::None, &records, Finish::default()).unwrap();
    assert!(validate_within(&plain_batch, &rules(), &mut 0, &mut Vec::new()).unwrap().is_some());
}

#[test]
fn what_a_batch_expanded_to_is_spent_also_when_it_is_refused() {
    let records: Vec<_> = (0..100).map(|_| plain(&"x".repeat(2_000))).collect();
    let mut batch = build(Codec::Gzip, &records, Finish::default()).unwrap();
    // One record more than there are: found out behind all others.
    batch[57..61].copy_from_slice(&101_i32.to_be_bytes());
    batch[23..27].copy_from_slice(&100_i32.to_be_bytes());
    let mut left = 1_000_000;
    let refused =
        validate_within(&resealed(batch), &rules(), &mut left, &mut Vec::new()).unwrap_err();
    assert_eq!(refused.code(), Code::InvalidRecord);
    assert!(left < 800_000, "{left}");
}

#[test]
fn a_batch_that_gets_another_codec_keeps_all_else() {
    let producer = Producer { id: 12, epoch: 3, base_sequence: 40 };
    let finish = Finish { producer: Some(producer), ..Finish::default() };
    let mut late = plain("b");
    late.timestamp_ms += 10;
    let records = [plain("a"), late, Owned { value: None, ..plain("c") }];
    for from in Codec::ALL {
        let mut batch = build(from, &records, finish).unwrap();
        assign(batch.first_chunk_mut().unwrap(), 1_000, 7);
        let before = BatchHeader::read(&batch).unwrap();
        for to in Codec::ALL {
            let mut output = b"front".to_vec();
            recompress(&batch, to, None, 10_000, &mut output).unwrap();
            let given = output.split_off(5);
            assert_eq!(output, b"front");
            let summary = validate(&given, &rules()).unwrap();
            assert_eq!((summary.codec, summary.producer), (to, Some(producer)));
            assert_eq!(read_back(&given).unwrap(), records, "{from:?} to {to:?}");
            let after = BatchHeader::read(&given).unwrap();
            let BatchHeader { length, crc, attributes, .. } = after;
            assert_eq!(after, BatchHeader { length, crc, attributes, ..before });
            assert_eq!(attributes, before.attributes.with_codec(to));
        }
    }
}

#[test]
fn a_batch_that_another_codec_makes_too_large_is_refused() {
    let batch = build(Codec::Zstd, &[plain(&"x".repeat(9_000))], Finish::default()).unwrap();
    let mut output = b"front".to_vec();
    let error = recompress(&batch, Codec::None, None, 9_000, &mut output).unwrap_err();
    assert_eq!((error.code(), &*output), (Code::MessageTooLarge, &b"front"[..]));
    recompress(&batch, Codec::None, None, 10_000, &mut output).unwrap();
    let huge = build(Codec::Zstd, &[plain(&"x".repeat(9_000_000))], Finish::default()).unwrap();
    let error = recompress(&huge, Codec::None, None, u64::MAX, &mut output).unwrap_err();
    assert_eq!(error.code(), Code::MessageTooLarge);
}

#[test]
fn building_refuses_what_would_not_be_accepted() {
    let error = build(Codec::None, &[], Finish::default()).unwrap_err();
    assert_eq!(error.code(), Code::InvalidRecord);
    let huge = Owned { value: Some(vec![0; 8_388_608]), ..plain("") };
    let error = build(Codec::None, std::slice::from_ref(&huge), Finish::default()).unwrap_err();
    assert_eq!(error.code(), Code::MessageTooLarge);
    assert!(build(Codec::Lz4, &[huge], Finish::default()).is_ok(), "compressed it fits");
    let headers = vec![("name".to_owned(), None); 1_025];
    let error = build(Codec::None, &[Owned { headers, ..plain("") }], Finish::default());
    assert_eq!(error.unwrap_err().code(), Code::InvalidRecord);
    let far = [
        Owned { timestamp_ms: i64::MIN, ..plain("") },
        Owned { timestamp_ms: i64::MAX, ..plain("") },
    ];
    let error = build(Codec::None, &far, Finish::default()).unwrap_err();
    assert_eq!(error.code(), Code::InvalidTimestamp);
}

fn records_strategy() -> impl Strategy<Value = Vec<Owned>> {
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..300));
    let headers = prop::collection::vec(("[a-zé]{0,5}", bytes()), 0..3);
    let record =
        (-2_000_i64..1_000, bytes(), bytes(), headers).prop_map(|(age_ms, key, value, headers)| {
            Owned { timestamp_ms: NOW_MS + age_ms, key, value, headers }
        });
    prop::collection::vec(record, 1..40)
}

proptest! {
    #[test]
    fn what_is_built_is_valid_and_reads_back(records in records_strategy(), number in 0_u8..5) {
        let codec = Codec::from_number(number).unwrap();
        let batch = build(codec, &records, Finish::default()).unwrap();
        let summary = validate(&batch, &rules()).unwrap();
        let latest = records.iter().map(|record| record.timestamp_ms).max().unwrap();
        prop_assert_eq!(summary.record_count as usize, records.len());
        prop_assert_eq!(summary.max_timestamp_ms, latest);
        prop_assert_eq!(summary.codec, codec);
        prop_assert_eq!(summary.bytes, batch.len());
        prop_assert!(!summary.max_timestamp_is_wrong);
        prop_assert_eq!(read_back(&batch).unwrap(), records);
    }

    #[test]
    fn what_gets_another_codec_has_the_same_records(
        records in records_strategy(),
        from in 0_u8..5,
        to in 0_u8..5,
    ) {
        let batch = build(Codec::from_number(from).unwrap(), &records, Finish::default()).unwrap();
        let mut given = Vec::new();
        let to = Codec::from_number(to).unwrap();
        recompress(&batch, to, None, BATCH_BYTES_MAX, &mut given).unwrap();
        let (before, after) = (validate(&batch, &rules()).unwrap(), validate(&given, &rules()));
        let after = after.unwrap();
        prop_assert_eq!(after, Summary { codec: to, bytes: given.len(), ..before });
        prop_assert_eq!(read_back(&given).unwrap(), records);
    }

    // With the checksum made right again, validation alone stands between a forged batch and the
    // log: whatever passes must be readable.
    #[test]
    fn what_passes_validation_can_be_read(
        records in records_strategy(),
        number in 0_u8..5,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let codec = Codec::from_number(number).unwrap();
        let mut batch = build(codec, &records, Finish::default()).unwrap();
        let bytes = batch.len() - ATTRIBUTES_AT;
        for (index, byte) in changes {
            batch[ATTRIBUTES_AT + index.index(bytes)] = byte;
        }
        let batch = resealed(batch);
        if let Ok(summary) = validate(&batch, &rules()) {
            let header = BatchHeader::read(&batch).unwrap();
            let mut section = Vec::new();
            let packed = &batch[HEADER_BYTES..];
            decompress(summary.codec, packed, summary.decompressed_bytes, &mut section).unwrap();
            let mut count = 0;
            for record in Records::new(&section, header.record_count) {
                for entry in record.unwrap().headers {
                    entry.unwrap();
                }
                count += 1;
            }
            prop_assert_eq!(count, summary.record_count);
        }
    }
}

/// What `Generate.java` beside the fixtures writes.
fn golden_records() -> Vec<Owned> {
    let mut records = vec![
        Owned { headers: Vec::new(), ..plain("value") },
        Owned {
            timestamp_ms: NOW_MS + 250,
            key: None,
            value: Some(b"a value without a key".to_vec()),
            headers: vec![
                ("name".to_owned(), Some(b"content".to_vec())),
                ("null".to_owned(), None),
            ],
        },
        Owned {
            timestamp_ms: NOW_MS - 1_000,
            key: Some(b"tombstone".to_vec()),
            value: None,
            headers: Vec::new(),
        },
    ];
    for index in 0..100 {
        records.push(Owned {
            timestamp_ms: NOW_MS + index,
            key: Some(format!("key-{index}").into_bytes()),
            ..plain(&format!("one of many similar values, number {index}"))
        });
    }
    records
}

#[test]
fn batches_of_kafkas_own_client_are_read() {
    let fixtures: [(Codec, &[u8]); 5] = [
        (Codec::None, include_bytes!("../../../../test/fixtures/record-batches/none.bin")),
        (Codec::Gzip, include_bytes!("../../../../test/fixtures/record-batches/gzip.bin")),
        (Codec::Snappy, include_bytes!("../../../../test/fixtures/record-batches/snappy.bin")),
        (Codec::Lz4, include_bytes!("../../../../test/fixtures/record-batches/lz4.bin")),
        (Codec::Zstd, include_bytes!("../../../../test/fixtures/record-batches/zstd.bin")),
    ];
    let producer = Producer { id: 4_000, epoch: 2, base_sequence: 17 };
    for (codec, batch) in fixtures {
        let summary = validate(batch, &rules()).unwrap();
        assert_eq!(summary.codec, codec);
        assert_eq!(summary.record_count, 103);
        assert_eq!(summary.max_timestamp_ms, NOW_MS + 250);
        assert_eq!(summary.offset_of_max_timestamp_delta, 1);
        assert!(!summary.max_timestamp_is_wrong);
        assert_eq!(summary.producer, Some(producer));
        assert_eq!(read_back(batch).unwrap(), golden_records(), "{codec:?}");
    }
    let finish = Finish { producer: Some(producer), ..Finish::default() };
    let mut built = build(Codec::None, &golden_records(), finish).unwrap();
    assign(built.first_chunk_mut().unwrap(), 0, -1);
    assert_eq!(built, fixtures[0].1);
}
