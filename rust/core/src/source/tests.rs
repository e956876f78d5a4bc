//! What every compression must do: faults C1 to C8.

use std::io::{self, Read, Write};

use super::decompress::{Decompressed, INPUT_BUFFER};
use super::magic::{Compression, MAGIC, detect};

const ALL: [Compression; 5] =
    [Compression::Gzip, Compression::Zstd, Compression::Bzip2, Compression::Xz, Compression::Lz4];

pub(super) fn compress(compression: Compression, plain: &[u8]) -> Vec<u8> {
    match compression {
        Compression::None => plain.to_vec(),
        Compression::Gzip => {
            let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            e.write_all(plain).unwrap();
            e.finish().unwrap()
        }
        Compression::Zstd => {
            let mut e = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
            e.include_checksum(true).unwrap();
            e.write_all(plain).unwrap();
            e.finish().unwrap()
        }
        Compression::Bzip2 => {
            let mut e = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
            e.write_all(plain).unwrap();
            e.finish().unwrap()
        }
        Compression::Xz => {
            // Preset 0: the encoder of the others takes tens of megabytes for each of 1000 members.
            let mut e = liblzma::write::XzEncoder::new(Vec::new(), 0);
            e.write_all(plain).unwrap();
            e.finish().unwrap()
        }
        Compression::Lz4 => lz4(plain, lz4_flex::frame::BlockMode::Linked, true),
    }
}

fn lz4(plain: &[u8], mode: lz4_flex::frame::BlockMode, checksums: bool) -> Vec<u8> {
    let info = lz4_flex::frame::FrameInfo::new()
        .block_mode(mode)
        .block_size(lz4_flex::frame::BlockSize::Max64KB)
        .block_checksums(checksums)
        .content_checksum(checksums)
        .content_size(Some(plain.len() as u64));
    let mut e = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    e.write_all(plain).unwrap();
    e.finish().unwrap()
}

fn skippable(n: usize) -> Vec<u8> {
    let mut frame = b"\x53\x2A\x4D\x18".to_vec();
    frame.extend_from_slice(&(n as u32).to_le_bytes());
    frame.resize(8 + n, b'x');
    frame
}

/// A log of about `n` bytes that does not compress to nothing.
pub(super) fn log(n: usize) -> Vec<u8> {
    let mut text = Vec::new();
    let mut x = 1u32;
    while text.len() < n {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        writeln!(text, "step={} loss={:.6} lr={:e}", text.len(), f64::from(x) / 1e9, x >> 7).unwrap();
    }
    text
}

/// Gives at most so many bytes a read, as a pipe may.
pub(super) struct Short<'a>(pub &'a [u8], pub usize);

impl Read for Short<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = out.len().min(self.1);
        self.0.read(&mut out[..n])
    }
}

pub(super) struct Outcome {
    pub compression: Compression,
    pub plain: Vec<u8>,
    pub error: Option<io::Error>,
    pub warning: Option<String>,
    pub consumed: u64,
}

pub(super) fn run(bytes: &[u8], in_size: usize, out_size: usize) -> Outcome {
    drain(Decompressed::new(Short(bytes, in_size)).unwrap(), out_size)
}

pub(super) fn drain(mut reader: Decompressed<Short<'_>>, out_size: usize) -> Outcome {
    let mut plain = Vec::new();
    let mut buf = vec![0; out_size];
    let error = loop {
        match reader.read(&mut buf) {
            Ok(0) => break None,
            Ok(n) => plain.extend_from_slice(&buf[..n]),
            Err(e) => {
                let again = reader.read(&mut buf).expect_err("an error stays");
                assert_eq!(again.to_string(), e.to_string());
                break Some(e);
            }
        }
    };
    Outcome {
        compression: reader.compression(),
        plain,
        error,
        warning: reader.warning().map(String::from),
        consumed: reader.compressed_bytes(),
    }
}

fn whole(bytes: &[u8]) -> Outcome {
    run(bytes, usize::MAX, 1 << 16)
}

#[track_caller]
fn assert_clean(outcome: &Outcome, plain: &[u8], what: &str) {
    assert!(outcome.error.is_none(), "{what}: {:?}", outcome.error);
    assert_eq!(outcome.warning, None, "{what}");
    assert!(outcome.plain == plain, "{what}: {} bytes, not {}", outcome.plain.len(), plain.len());
}

#[track_caller]
fn assert_error(outcome: &Outcome, kind: io::ErrorKind, parts: &[&str]) {
    let error = outcome.error.as_ref().expect("an error");
    assert_eq!(error.kind(), kind, "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "{error} does not say {part:?}");
    }
}

#[test]
fn c1_cut_at_every_byte_all_that_can_be_decoded_is_delivered() {
    let plain = log(5000);
    for compression in ALL {
        let member = compress(compression, &plain);
        let two = [&member[..], &member[..]].concat();
        let mut known = 0;
        for cut in 0..two.len() {
            let what = format!("{} cut at {cut} of {}", compression.name(), two.len());
            let outcome = whole(&two[..cut]);
            if outcome.compression == Compression::None {
                assert!(cut < 6, "{what}");
                assert_clean(&outcome, &two[..cut], &what);
                continue;
            }
            assert_eq!(outcome.compression, compression, "{what}");
            assert!(outcome.plain.len() >= known, "{what}: less than with a byte less");
            known = outcome.plain.len();
            assert!([&plain[..], &plain[..]].concat().starts_with(&outcome.plain), "{what}");
            if cut == member.len() {
                assert_clean(&outcome, &plain, &what);
                continue;
            }
            let offset = format!("compressed offset {}", outcome.consumed);
            let parts = [compression.name(), "ends before its end", &offset];
            assert_error(&outcome, io::ErrorKind::UnexpectedEof, &parts);
            assert!(cut < member.len() || known >= plain.len(), "{what}: the first member is lost");
        }
        // Only the last byte, of a checksum or an index, is missing.
        assert_eq!(known, 2 * plain.len(), "{}", compression.name());
    }
}

#[test]
fn c1_gzip_delivers_what_the_last_bits_hold() {
    let plain = log(5000);
    let member = compress(Compression::Gzip, &plain);
    // Without the checksum and the length, and then some of the last codes.
    assert_eq!(whole(&member[..member.len() - 8]).plain.len(), plain.len());
    assert!(whole(&member[..member.len() - 20]).plain.len() > plain.len() - 60);
    assert!(whole(&member[..member.len() / 2]).plain.len() > plain.len() / 3);
}

#[test]
fn c2_concatenated_members_are_all_read() {
    let plain = log(60);
    for compression in ALL {
        let member = compress(compression, &plain);
        for n in [1, 2, 1000] {
            let bytes = member.repeat(n);
            let outcome = whole(&bytes);
            assert_clean(&outcome, &plain.repeat(n), &format!("{} {n} times", compression.name()));
            assert_eq!(outcome.compression, compression);
            assert_eq!(outcome.consumed, bytes.len() as u64);
        }
        let empty = compress(compression, b"");
        assert_clean(&whole(&empty), b"", "an empty member");
        let bytes = [&empty[..], &member, &empty, &empty, &member, &empty].concat();
        assert_clean(&whole(&bytes), &plain.repeat(2), "empty members between");
    }
}

#[test]
fn c2_buffer_sizes_do_not_matter() {
    let plain = log(3000);
    for compression in ALL.into_iter().chain([Compression::None]) {
        let bytes = compress(compression, &plain).repeat(2);
        for in_size in [1, 3, 7, 100, usize::MAX] {
            for out_size in [1, 3, 7, 100, 1 << 16] {
                let what = format!("{} {in_size} {out_size}", compression.name());
                assert_clean(&run(&bytes, in_size, out_size), &plain.repeat(2), &what);
            }
        }
    }
}

#[test]
fn c2_members_longer_than_the_buffers() {
    let plain = log(3 << 20);
    for compression in ALL {
        let bytes = compress(compression, &plain).repeat(2);
        assert!(bytes.len() > 2 * INPUT_BUFFER);
        assert_clean(&run(&bytes, usize::MAX, 100_000), &plain.repeat(2), compression.name());
    }
}

#[test]
fn c2_lz4_frames_of_every_kind() {
    use lz4_flex::frame::BlockMode::{Independent, Linked};
    let plain = log(200_000);
    for mode in [Linked, Independent] {
        for checksums in [false, true] {
            let bytes = lz4(&plain, mode, checksums).repeat(2);
            assert_clean(&run(&bytes, 1000, 1000), &plain.repeat(2), "lz4");
        }
    }
    let mut noise = vec![0u8; 100_000];
    let mut x = 1u64;
    noise.iter_mut().for_each(|b| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        *b = x as u8;
    });
    assert_clean(&whole(&lz4(&noise, Linked, true)), &noise, "stored blocks");
}

#[test]
fn c3_zeros_after_a_member_are_padding() {
    let plain = log(300);
    for compression in ALL {
        let member = compress(compression, &plain);
        for n in [1, 4, 9, 512, INPUT_BUFFER + 3] {
            let padded = [&member[..], &vec![0; n]].concat();
            assert_clean(&whole(&padded), &plain, compression.name());
            let between = [&padded[..], &member].concat();
            assert_clean(&whole(&between), &plain.repeat(2), compression.name());
        }
    }
}

#[test]
fn c3_garbage_after_a_member_warns_after_the_data() {
    let plain = log(300);
    for compression in ALL {
        let member = compress(compression, &plain);
        for garbage in [&b"g"[..], b"garbage that goes on", b"\0\0\0\0x", b"\xFF\xFF"] {
            let bytes = [&member[..], garbage].concat();
            let mut reader = Decompressed::new(&bytes[..]).unwrap();
            let mut out = vec![0; plain.len()];
            reader.read_exact(&mut out).unwrap();
            assert_eq!((&out, reader.warning()), (&plain, None), "{}", compression.name());
            assert_eq!(reader.read(&mut out).unwrap(), 0);
            let zeros = garbage.iter().take_while(|&&b| b == 0).count();
            let offset = format!("compressed offset {}", member.len() + zeros);
            let warning = reader.warning().unwrap();
            assert!(warning.contains("garbage") && warning.ends_with(&offset), "{warning}");
            assert!(warning.contains(compression.name()), "{warning}");
        }
    }
    // A member of another format is not part of the stream.
    let mixed = [compress(Compression::Gzip, &plain), compress(Compression::Zstd, &plain)].concat();
    let outcome = whole(&mixed);
    assert!(outcome.plain == plain && outcome.warning.is_some());
}

#[test]
fn c4_a_bomb_streams() {
    const SIZE: u64 = 32 << 20;
    for compression in ALL {
        let bomb = compress(compression, &vec![0; SIZE as usize]);
        let mut reader = Decompressed::new(&bomb[..]).unwrap();
        let copied = io::copy(&mut reader, &mut io::sink()).unwrap();
        assert_eq!(copied, SIZE, "{}", compression.name());
    }
}

#[test]
fn c5_magic_bytes_decide() {
    use Compression::*;
    let table: [(&[u8], Compression); 22] = [
        (b"", None),
        (b"\x1F", None),
        (b"\x1F\x8B", Gzip),
        (b"\x1F\x8B\x08", Gzip),
        (b"\x1F\x8B\x07", None),
        (b"\x28\xB5\x2F", None),
        (b"\x28\xB5\x2F\xFD", Zstd),
        (b"\xFD7zXZ", None),
        (b"\xFD7zXZ\0\0", Xz),
        (b"\x04\x22\x4D\x18", Lz4),
        (b"\x02\x21\x4C\x18", Lz4),
        (b"BZh", None),
        (b"BZh9", Bzip2),
        (b"BZh0", None),
        (b"BZh91A", Bzip2),
        (b"BZh91AY&SYmore", Bzip2),
        (b"BZh9\x17\x72\x45\x38\x50\x90", Bzip2),
        (b"BZh9 is text", None),
        (b"\x5F\x2A\x4D\x18", Zstd),
        (b"\x50\x2A\x4D\x18\x01\0\0\0x\x04\x22\x4D\x18", Lz4),
        (b"\x50\x2A\x4D\x18\xFF\xFF\xFF\xFFx", Zstd),
        (b"P*M is text", None),
    ];
    for (prefix, expected) in table {
        assert_eq!(detect(prefix), expected, "{prefix:02X?}");
    }
    for compression in ALL {
        assert_eq!(detect(&compress(compression, b"loss=1\n")), compression);
        assert_eq!(detect(&compress(compression, b"")), compression);
    }
}

#[test]
fn c5_plain_text_passes_unchanged() {
    for plain in [&b""[..], b"\n", b"B", b"BZ", b"BZh9 loss=1\n", b"\x1F", b"P*", b"\0\0\0", b"\xFF\xFEa\0"] {
        for in_size in [1, 100] {
            let outcome = run(plain, in_size, 3);
            assert_clean(&outcome, plain, "plain");
            assert_eq!(outcome.compression, Compression::None);
            assert_eq!(outcome.consumed, plain.len() as u64);
        }
    }
}

#[test]
fn c5_a_pipe_with_one_line_is_not_kept_waiting() {
    struct Once(bool);
    impl Read for Once {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            assert!(!std::mem::replace(&mut self.0, true), "a second read would block");
            out[0] = b'a';
            Ok(1)
        }
    }
    let mut reader = Decompressed::new(Once(false)).unwrap();
    let mut out = [0; 10];
    assert_eq!(reader.read(&mut out).unwrap(), 1);
}

#[test]
fn c6_a_window_over_128_mib_is_refused_with_a_reason() {
    // Window descriptors 2^27 and 2^30, then an empty last block.
    let allowed = b"\x28\xB5\x2F\xFD\x00\x88\x01\x00\x00";
    assert_clean(&whole(allowed), b"", "2^27");
    let refused = b"\x28\xB5\x2F\xFD\x00\xA0\x01\x00\x00";
    assert_error(&whole(refused), io::ErrorKind::Unsupported, &["zstd", "window", "128 MiB", "--long"]);
    // printf 'hello\n' | xz --lzma2=preset=0,mf=hc3,dict=1GiB --check=crc32
    let refused = b"\
        \xFD\x37\x7A\x58\x5A\x00\x00\x01\x69\x22\xDE\x36\x02\x00\x21\x01\x24\x00\x00\x00\
        \x5E\x1F\xC7\xF9\x01\x00\x05\x68\x65\x6C\x6C\x6F\x0A\x00\x00\x00\x20\x30\x3A\x36\
        \x00\x01\x1A\x06\xC5\xEA\xC8\x79\x90\x42\x99\x0D\x01\x00\x00\x00\x00\x01\x59\x5A";
    assert_error(&whole(refused), io::ErrorKind::Unsupported, &["xz", "dictionary", "128 MiB"]);
    let refused = b"\x02\x21\x4C\x18\x01\0\0\0\0";
    assert_error(&whole(refused), io::ErrorKind::Unsupported, &["lz4", "legacy"]);
}

#[test]
fn c8_every_flipped_bit_is_an_error_or_harmless() {
    let plain = log(400);
    for compression in ALL {
        let member = compress(compression, &plain);
        let bytes = [&member[..], &member].concat();
        let plain = plain.repeat(2);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let outcome = whole(&flipped);
            let what = format!("{} bit {bit}", compression.name());
            if outcome.compression != compression {
                // The magic itself: now a plain file, or the start of a skippable frame.
                assert!(bit < 8 * MAGIC, "{what}");
                continue;
            }
            match &outcome.error {
                Some(e) => {
                    assert!(e.to_string().contains("compressed offset"), "{what}: {e}");
                    assert!(e.to_string().contains(compression.name()), "{what}: {e}");
                }
                None if outcome.warning.is_some() => {
                    assert!(plain.starts_with(&outcome.plain), "{what}")
                }
                None => assert!(outcome.plain == plain, "{what}: wrong data without a word"),
            }
        }
    }
}

#[test]
fn c8_a_wrong_checksum_is_an_error_after_the_data() {
    let plain = log(400);
    // Distance of a checksum's last byte from the end.
    for (compression, from_end) in [(Compression::Gzip, 5), (Compression::Zstd, 1), (Compression::Lz4, 1)] {
        let mut bytes = compress(compression, &plain);
        let at = bytes.len() - from_end;
        bytes[at] ^= 1;
        let outcome = whole(&bytes);
        assert!(outcome.plain == plain, "{}: {} bytes", compression.name(), outcome.plain.len());
        let parts = [compression.name(), "corrupt", "compressed offset"];
        assert_error(&outcome, io::ErrorKind::InvalidData, &parts);
    }
}

#[test]
fn c8_skippable_frames_are_skipped() {
    let plain = log(300);
    for compression in [Compression::Zstd, Compression::Lz4] {
        let member = compress(compression, &plain);
        for n in [0, 1, 5, 1000, INPUT_BUFFER * 2] {
            let skip = skippable(n);
            let bytes = [&skip[..], &skip, &member, &skip, &member, &skip].concat();
            let outcome = whole(&bytes);
            assert_clean(&outcome, &plain.repeat(2), &format!("{} {n}", compression.name()));
            assert_eq!(outcome.compression, compression);
            assert_clean(&run(&bytes, 7, 100), &plain.repeat(2), "small reads");
            for cut in [1, n + 7] {
                let cut = bytes.len() - cut;
                let outcome = whole(&bytes[..cut]);
                assert_error(&outcome, io::ErrorKind::UnexpectedEof, &["ends before its end"]);
                assert!(outcome.plain == plain.repeat(2));
            }
        }
    }
}

#[test]
fn c8_a_nested_archive_is_named() {
    let plain = log(300);
    let inner = compress(Compression::Zstd, &plain);
    let outcome = whole(&compress(Compression::Gzip, &inner));
    assert!(outcome.plain == inner);
    let warning = outcome.warning.unwrap();
    assert!(warning.contains("gzip data holds zstd"), "{warning}");
    let mut tar = vec![b'n'; 1024];
    tar[257..262].copy_from_slice(b"ustar");
    let warning = whole(&compress(Compression::Xz, &tar)).warning.unwrap();
    assert!(warning.contains("tar archive"), "{warning}");
}

#[test]
fn errors_of_the_input_pass_unchanged_and_can_be_retried() {
    struct Flaky<'a>(&'a [u8], u32);
    impl Read for Flaky<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            match self.1 % 4 {
                1 => Err(io::ErrorKind::Interrupted.into()),
                3 => Err(io::Error::new(io::ErrorKind::WouldBlock, "not yet")),
                _ => {
                    let n = out.len().min(20);
                    self.0.read(&mut out[..n])
                }
            }
        }
    }
    let plain = log(500);
    for compression in ALL.into_iter().chain([Compression::None]) {
        let bytes = compress(compression, &plain).repeat(2);
        let mut reader = Decompressed::new(Flaky(&bytes, 0)).unwrap();
        let mut got = Vec::new();
        let mut buf = [0; 64];
        loop {
            match reader.read(&mut buf) {
                Ok(0) => break,
                Ok(n) => got.extend_from_slice(&buf[..n]),
                Err(e) => assert_eq!(e.to_string(), "not yet"),
            }
        }
        assert!(got == plain.repeat(2), "{}", compression.name());
    }
}

#[test]
fn readers_can_go_to_another_thread() {
    fn assert_send<T: Send>() {}
    assert_send::<Decompressed<std::fs::File>>();
}
