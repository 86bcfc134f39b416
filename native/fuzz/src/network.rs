//! What must hold for any bytes from the network.

use millrace_core::{
    batch::{BatchHeader, HEADER_BYTES, Records, Rules, TimestampRule, header, validate},
    compression::{Codec, decompress},
    messagepack::{
        BuildOptions, DeliveryRequest, Format, Splitter, build_batch, decode_envelope, deliver,
    },
};

const NOW_MS: i64 = 1_700_000_000_000;
const PARTITIONS: u32 = 4;

/// A topic that takes any timestamp.
pub fn rules() -> Rules {
    Rules {
        bytes_max: 1_048_588,
        compacted: false,
        timestamp: TimestampRule::CreateTime {
            now_ms: NOW_MS,
            before_ms_max: i64::MAX,
            after_ms_max: i64::MAX,
        },
    }
}

/// A produce frame is refused, or its entries build valid batches that hold all of their records.
pub fn frame(bytes: &[u8]) {
    let mut entries = Vec::new();
    if decode_envelope(bytes, &mut entries).is_err() {
        return;
    }
    let options = BuildOptions { codec: Codec::None, level: None, rules: rules(), producer: None };
    let mut splitter = Splitter::default();
    let mut output = Vec::new();
    for entry in &entries {
        let body = &bytes[entry.body.clone()];
        if entry.format == Format::Batch {
            batch(body);
            continue;
        }
        output.clear();
        let Ok(built) = build_batch(body, entry.format, &options, &mut output) else {
            assert!(output.is_empty(), "a refused entry leaves nothing behind");
            continue;
        };
        assert_eq!(built.record_count, entry.record_count);
        batch(&output);
        assert!(validate(&output, &rules()).is_ok(), "what is built is valid");
        output.clear();
        let parts = splitter
            .split(body, entry.format, PARTITIONS, 0, &options, &mut output)
            .expect("what builds as one batch builds as several smaller ones");
        let count: u32 = parts.iter().map(|part| part.built.record_count).sum();
        assert_eq!(count, entry.record_count);
    }
}

/// A batch is refused, or it reads to the end and is delivered whole.
pub fn batch(bytes: &[u8]) {
    let Ok(summary) = validate(bytes, &rules()) else {
        return;
    };
    let header = BatchHeader::read(bytes).expect("a valid batch has a header");
    let mut section = Vec::new();
    decompress(summary.codec, &bytes[HEADER_BYTES..], summary.decompressed_bytes, &mut section)
        .expect("a valid batch decompresses to what validation counted");
    let mut count = 0;
    for record in Records::new(&section, header.record_count) {
        for entry in record.expect("every record of a valid batch reads").headers {
            entry.expect("and its headers do");
        }
        count += 1;
    }
    assert_eq!(count, summary.record_count);

    // As an append does.
    let mut stored = bytes.to_vec();
    if let Some(front) = stored.first_chunk_mut() {
        header::assign(front, 1_000, 1);
    }
    let end_offset = 1_000 + i64::from(summary.record_count);
    let request = DeliveryRequest {
        subscription: 1,
        from_offset: 1_000,
        end_offset,
        high_watermark: end_offset,
        records_max: u32::MAX,
        bytes_max: usize::MAX,
    };
    let mut frame = Vec::new();
    let delivered = deliver(&stored, &request, &mut frame).expect("a valid batch is delivered");
    assert_eq!(delivered.records, summary.record_count);
    assert_eq!(delivered.next_offset, end_offset);
}

/// The bytes with the length and the checksum of a batch made right, so that mutations get past
/// them.
pub fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut sealed = bytes.to_vec();
    if sealed.len() >= HEADER_BYTES {
        let length = (sealed.len() - header::LENGTH_OVERHEAD_BYTES) as u32;
        sealed[8..12].copy_from_slice(&length.to_be_bytes());
        sealed[16] = 2;
        let crc = header::crc32c(&sealed[21..]);
        sealed[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    sealed
}
