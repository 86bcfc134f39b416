use proptest::prelude::*;

use super::*;

fn compressed(codec: Codec, input: &[u8]) -> Vec<u8> {
    let mut output = b"before".to_vec();
    compress(codec, None, input, &mut output).unwrap();
    assert_eq!(&output[..6], b"before");
    output.split_off(6)
}

fn decompressed(codec: Codec, input: &[u8], bytes_max: u64) -> Result<Vec<u8>> {
    let mut output = b"before".to_vec();
    let done = decompress(codec, input, bytes_max, &mut output);
    assert_eq!(&output[..6], b"before");
    assert!(done.is_ok() || output.len() == 6, "output is restored after an error");
    done.map(|()| output.split_off(6))
}

fn text(bytes: usize) -> Vec<u8> {
    b"a record of some service, number ".iter().copied().cycle().take(bytes).collect()
}

#[test]
fn numbers_and_names_are_kafkas() {
    let names: Vec<_> = Codec::ALL.iter().map(|codec| (codec.number(), codec.name())).collect();
    assert_eq!(names, [(0, "none"), (1, "gzip"), (2, "snappy"), (3, "lz4"), (4, "zstd")]);
    assert_eq!(Codec::from_number(5).unwrap_err().code(), Code::UnsupportedCompressionType);
}

#[test]
fn every_codec_round_trips_every_size() {
    for codec in Codec::ALL {
        for bytes in [0, 1, 100, 32_768, 32_769, 65_536, 65_537, 300_000, 0, 100] {
            let input = text(bytes);
            let packed = compressed(codec, &input);
            assert_eq!(decompressed(codec, &packed, bytes as u64).unwrap(), input, "{codec:?}");
        }
    }
}

#[test]
fn a_bomb_is_refused_at_the_bound() {
    let input = vec![0; 4_000_000];
    for codec in Codec::ALL {
        let packed = compressed(codec, &input);
        let error = decompressed(codec, &packed, 3_999_999).unwrap_err();
        assert_eq!(error.code(), Code::MessageTooLarge, "{codec:?}");
    }
    let mut bare = snap::raw::Encoder::new().compress_vec(&input).unwrap();
    assert_eq!(
        decompressed(Codec::Snappy, &bare, 1_000).unwrap_err().code(),
        Code::MessageTooLarge
    );
    bare.truncate(100);
    assert_eq!(
        decompressed(Codec::Snappy, &bare, 1 << 40).unwrap_err().code(),
        Code::CorruptMessage,
        "four megabytes out of a hundred bytes are refused before they are allocated"
    );
}

#[test]
fn truncated_input_never_gives_everything() {
    let input = text(100_000);
    for codec in Codec::ALL {
        let packed = compressed(codec, &input);
        for cut in [1, 5, packed.len() / 2, packed.len() - 1] {
            if let Ok(output) = decompressed(codec, &packed[..packed.len() - cut], 1 << 20) {
                assert!(output.len() < input.len());
                assert_ne!(codec, Codec::Lz4, "a frame without its end mark");
            }
        }
    }
}

#[test]
fn bytes_behind_the_data_are_refused() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut packed = compressed(codec, &text(1_000));
        packed.extend_from_slice(b"garbage");
        let error = decompressed(codec, &packed, 1 << 20).unwrap_err();
        assert_eq!(error.code(), Code::CorruptMessage, "{codec:?}");
    }
}

#[test]
fn snappy_is_read_bare_as_well() {
    let input = text(100_000);
    let bare = snap::raw::Encoder::new().compress_vec(&input).unwrap();
    assert_eq!(decompressed(Codec::Snappy, &bare, 1 << 20).unwrap(), input);
}

fn lz4_frame(frame: FrameInfo, input: &[u8]) -> Vec<u8> {
    let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
    encoder.write_all(input).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn lz4_frames_of_other_clients_are_read() {
    let input = text(400_000);
    for size in [BlockSize::Max4MB, BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB] {
        for checksums in [false, true] {
            let frame = FrameInfo::new()
                .block_size(size)
                .block_checksums(checksums)
                .content_checksum(checksums)
                .content_size(checksums.then_some(400_000));
            let packed = lz4_frame(frame, &input);
            assert_eq!(decompressed(Codec::Lz4, &packed, 400_000).unwrap(), input);
            let error = decompressed(Codec::Lz4, &packed, 399_999).unwrap_err();
            assert_eq!(error.code(), Code::MessageTooLarge);
        }
    }
}

// No consumer in Java reads them (Lz4BlockInputStream), so none may enter a log.
#[test]
fn lz4_frames_that_kafka_does_not_read_are_refused() {
    let input = text(100_000);
    let linked = FrameInfo::new().block_mode(BlockMode::Linked).block_size(BlockSize::Max64KB);
    let block = lz4_flex::block::compress(&input);
    let legacy = [b"\x02\x21\x4c\x18", &(block.len() as u32).to_le_bytes()[..], &block].concat();
    let ended = lz4_frame(FrameInfo::new().block_size(BlockSize::Max64KB), &input);
    let dictionary = [&ended[..4], &[ended[4] | 1], &ended[5..]].concat();
    let frames = [
        ("linked", lz4_frame(linked, &input)),
        ("legacy", legacy),
        ("dictionary", dictionary),
        ("no end mark", ended[..ended.len() - 4].to_vec()),
        ("half an end mark", ended[..ended.len() - 2].to_vec()),
        ("nothing", Vec::new()),
    ];
    for (what, frame) in frames {
        let code = decompressed(Codec::Lz4, &frame, 1 << 20).map_err(|error| error.code());
        assert!(code == Err(Code::CorruptMessage), "{what}");
    }
}

// The checksums of blocks and of all that they hold, and what the header says of itself.
#[test]
fn what_an_lz4_frame_says_of_itself_is_checked() {
    let input = text(200_000);
    let frame = FrameInfo::new()
        .block_size(BlockSize::Max64KB)
        .block_checksums(true)
        .content_checksum(true)
        .content_size(Some(200_000));
    let packed = lz4_frame(frame, &input);
    for at in 0..packed.len() {
        let mut flipped = packed.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(decompressed(Codec::Lz4, &flipped, 1 << 20).is_err(), "byte {at}");
    }
}

#[test]
fn zstd_streams_and_several_frames_are_read() {
    let input = text(200_000);
    let mut packed = zstd::stream::encode_all(&input[..150_000], 3).unwrap();
    packed.extend(zstd::stream::encode_all(&input[150_000..], 1).unwrap());
    assert_eq!(decompressed(Codec::Zstd, &packed, 200_000).unwrap(), input);
    // A damaged frame does not spoil the context for the next one.
    packed.truncate(30);
    assert!(decompressed(Codec::Zstd, &packed, 200_000).is_err());
    let whole = compressed(Codec::Zstd, &input);
    assert_eq!(decompressed(Codec::Zstd, &whole, 200_000).unwrap(), input);
}

#[test]
fn levels_are_checked() {
    let mut output = Vec::new();
    assert!(compress(Codec::Gzip, Some(9), b"x", &mut output).is_ok());
    assert!(compress(Codec::Gzip, Some(-1), b"x", &mut output).is_ok());
    let error = compress(Codec::Gzip, Some(10), b"x", &mut output).unwrap_err();
    assert_eq!(error.code(), Code::InvalidConfig);
    assert!(compress(Codec::Zstd, Some(19), b"x", &mut output).is_ok());
}

proptest! {
    #[test]
    fn garbage_gives_an_error_or_bounded_bytes(
        number in 1_u8..5,
        input in prop::collection::vec(any::<u8>(), 0..300),
        flip in any::<prop::sample::Index>(),
        bits in 1_u8..,
    ) {
        let codec = Codec::from_number(number).unwrap();
        if let Ok(output) = decompressed(codec, &input, 5_000) {
            prop_assert!(output.len() <= 5_000);
        }
        let mut packed = compressed(codec, &input);
        let at = flip.index(packed.len());
        packed[at] ^= bits;
        if let Ok(output) = decompressed(codec, &packed, 5_000) {
            prop_assert!(output.len() <= 5_000);
        }
    }
}
