//! `cargo bench` in `benches/micro`: texts in memory to batches, and making a matcher.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use metricsieve_bench_micro::{decode, decoder, matcher, texts};

const SIZE: usize = 4 << 20;

fn decoding(criterion: &mut Criterion) {
    let patterns = texts::patterns();
    let matcher = matcher(patterns.iter().map(String::as_str)).expect("the patterns are valid");
    let mut group = criterion.benchmark_group("decode");
    for text in texts::all(SIZE) {
        group.throughput(Throughput::Bytes(text.bytes.len() as u64));
        group.bench_function(text.name, |bencher| {
            bencher.iter(|| {
                let mut decoder = decoder(&matcher).expect("the columns are the default ones");
                let points = decode(&mut decoder, black_box(&text.bytes)).expect("rejects are counted");
                assert_eq!(points, text.points, "{}", text.name);
            });
        });
    }
    group.finish();
}

fn building(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("build");
    group.sample_size(10);
    for count in [8, 200, 1000] {
        let patterns = texts::absent_patterns(count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| matcher(black_box(&patterns).iter().map(String::as_str)).expect("valid patterns"));
        });
    }
    group.finish();
}

criterion_group!(benches, decoding, building);
criterion_main!(benches);
