//! Whole members give what the stream's decoder gives, for every kind of damage: faults C1 to C4 and C8.

use std::sync::Arc;

use super::Pool;
use super::decompress::{Decompressed, INPUT_BUFFER};
use super::magic::Compression;
use super::tests::{Outcome, Short, compress, drain, log, run};
use super::whole::Bounds;

const TINY: Bounds = Bounds { input: 3000, plain: 5000, trial_input: 1000, trial_plain: 2000 };

fn gzip(plain: &[u8]) -> Vec<u8> {
    compress(Compression::Gzip, plain)
}

fn at_one_go(bytes: &[u8], pool: &Arc<Pool>, bounds: Bounds, out_size: usize) -> Outcome {
    let reader = Decompressed::bounded(Short(bytes, usize::MAX), bytes.len() as u64, pool.clone(), bounds);
    drain(reader.unwrap(), out_size)
}

/// That nothing tells the two ways of reading apart.
#[track_caller]
fn assert_same(bytes: &[u8], pool: &Arc<Pool>, what: &str) {
    for out_size in [1 << 16, 100] {
        let stream = run(bytes, usize::MAX, out_size);
        for bounds in [Bounds::DEFAULT, TINY] {
            let whole = at_one_go(bytes, pool, bounds, out_size);
            assert_eq!(whole.compression, stream.compression, "{what}");
            assert!(whole.plain == stream.plain, "{what}: {} bytes, not {}", whole.plain.len(), stream.plain.len());
            let text = |outcome: &Outcome| outcome.error.as_ref().map(|e| (e.kind(), e.to_string()));
            assert_eq!(text(&whole), text(&stream), "{what}");
            assert_eq!(whole.warning, stream.warning, "{what}");
            assert_eq!(whole.consumed, stream.consumed, "{what}");
        }
    }
}

#[test]
fn c1_cut_anywhere_the_parts_and_the_error_are_those_of_the_stream() {
    let pool = Arc::default();
    let two = [gzip(&log(1500)), gzip(&log(700))].concat();
    for cut in 2..=two.len() {
        assert_same(&two[..cut], &pool, &format!("cut at {cut}"));
    }
}

#[test]
fn c2_members_of_all_sizes_are_read_whatever_the_bounds() {
    let pool = Arc::default();
    let sizes = [0, 1, 60, 1999, 2001, 4999, 5001, 40_000, 700_000];
    for first in sizes {
        for second in sizes {
            let bytes = [gzip(&log(first)), gzip(&log(second)), gzip(&log(60))].concat();
            assert_same(&bytes, &pool, &format!("{first}, {second} and 60 bytes"));
        }
    }
    assert_same(&gzip(&log(60)).repeat(1000), &pool, "many");
    assert_same(&gzip(&log(3 << 20)).repeat(9), &pool, "more than is read ahead");
}

#[test]
fn c3_padding_and_garbage_are_those_of_the_stream() {
    let pool = Arc::default();
    let member = gzip(&log(300));
    let zeros = vec![0; INPUT_BUFFER + 3];
    for behind in [&b"g"[..], b"\0", b"\0\0\0\0x", b"\x1F", b"\x1F\x8B", b"\x1F\x8B\x08", b"BZh9", &[0xFF; 50], &zeros]
    {
        assert_same(&[&member[..], behind].concat(), &pool, &format!("{} bytes behind", behind.len()));
        assert_same(&[&member[..], behind, &member].concat(), &pool, &format!("{} bytes between", behind.len()));
    }
}

#[test]
fn c4_a_bomb_beyond_the_bounds_is_read_as_a_stream() {
    let pool = Arc::default();
    assert_same(&gzip(&vec![b'0'; 33 << 20]), &pool, "longer than the bound");
    assert_same(&gzip(&vec![b'0'; 31 << 20]), &pool, "within the bound");
}

#[test]
fn c8_every_flipped_bit_is_reported_as_by_the_stream() {
    let pool = Arc::default();
    let bytes = [gzip(&log(200)), gzip(&log(100))].concat();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_same(&flipped, &pool, &format!("bit {bit}"));
    }
}

#[test]
fn c8_header_fields_are_read_and_a_header_checksum_is_verified() {
    let pool = Arc::default();
    let member = gzip(&log(400));
    let header = |flags: u8, fields: &[u8]| [&member[..3], &[flags], &member[4..10], fields, &member[10..]].concat();
    let mut hcrc = header(0x02, b"");
    let crc = {
        let mut crc = flate2::Crc::new();
        crc.update(&hcrc[..10]);
        crc.sum() as u16
    };
    hcrc.splice(10..10, crc.to_le_bytes());
    let mut wrong = hcrc.clone();
    wrong[10] ^= 1;
    assert!(run(&hcrc, usize::MAX, 1000).error.is_none());
    assert!(run(&wrong, usize::MAX, 1000).error.is_some());
    let (extra, name) = (header(0x04, b"\x03\0abc"), header(0x18, b"name.log\0a comment\0"));
    for bytes in [hcrc, wrong, extra, name, header(0x20, b""), header(0x08, b"")] {
        assert_same(&bytes, &pool, &format!("flags {}", bytes[3]));
        assert_same(&[&bytes[..], &member].concat(), &pool, &format!("flags {}, then another", bytes[3]));
    }
}

#[test]
fn c8_an_archive_inside_is_named_all_the_same() {
    let pool = Arc::default();
    assert_same(&gzip(&compress(Compression::Zstd, &log(300))), &pool, "zstd");
    assert_same(&gzip(&gzip(&log(300))), &pool, "gzip");
}
