//! The text kind: what the relay does to an operation, and what a client adds to that.

use std::hint::black_box;

use corelay::text::{Operation, Side, Text, transform, transform_batch};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// One keystroke somewhere in a document of 100 kB.
fn keystroke(number: usize) -> Operation {
    Operation::splice(number * 7919 % 90_000, 0, "x")
}

fn document() -> Text {
    Text::from(
        "The quick brown fox jumps over the lazy dog — twice. "
            .repeat(2000)
            .as_str(),
    )
}

/// An edit in 100 places.
fn replacement() -> Operation {
    let mut builder = Operation::builder();
    for _ in 0..100 {
        builder.retain(500).insert("cat").delete(3);
    }
    builder.build()
}

fn applying(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("text/apply");
    group.throughput(Throughput::Elements(1));
    let mut document = document();
    let mut number = 0;
    group.bench_function("keystroke", |bencher| {
        bencher.iter(|| {
            number += 1;
            document.apply(&keystroke(number)).expect("it fits");
        });
    });
    // As the relay does it: a batch that is refused must leave nothing behind.
    group.bench_function("keystroke on a copy", |bencher| {
        bencher.iter(|| {
            number += 1;
            let mut edited = document.clone();
            edited.apply(&keystroke(number)).expect("it fits");
            document = edited;
        });
    });
    let replacement = replacement();
    group.bench_function("100 places", |bencher| {
        bencher.iter_batched(
            || document.clone(),
            |mut document| document.apply(&replacement).expect("it fits"),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn transforming(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("text/transform");
    let (a, b) = (keystroke(1), keystroke(2));
    group.bench_function("keystroke, keystroke", |bencher| {
        bencher.iter(|| transform(black_box(&a), black_box(&b), Side::Left));
    });
    let replacement = replacement();
    group.bench_function("keystroke, 100 places", |bencher| {
        bencher.iter(|| transform(black_box(&a), black_box(&replacement), Side::Left));
    });
    let history: Vec<Operation> = (0..100).map(keystroke).collect();
    for size in [1, 50] {
        group.throughput(Throughput::Elements(size * 100));
        group.bench_function(format!("batch of {size}, history of 100"), |bencher| {
            bencher.iter_batched(
                || (0..size as usize).map(keystroke).collect::<Vec<_>>(),
                |mut batch| {
                    transform_batch(
                        &mut batch,
                        1,
                        history.iter().map(|operation| (2, operation)),
                    );
                    batch
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn composing(criterion: &mut Criterion) {
    let typed = Operation::splice(1000, 0, "a word and ano");
    let next = Operation::splice(1014, 0, "t");
    criterion.bench_function("text/compose/keystroke", |bencher| {
        bencher.iter(|| {
            black_box(&typed)
                .compose(black_box(&next))
                .expect("nothing is cut")
        });
    });
}

fn coding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("text/codec");
    for (name, operation) in [("keystroke", keystroke(3)), ("100 places", replacement())] {
        let bytes = operation.encode();
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("decode {name}"), |bencher| {
            bencher.iter(|| Operation::decode(black_box(&bytes)).expect("it was encoded"));
        });
        group.bench_function(format!("encode {name}"), |bencher| {
            bencher.iter(|| black_box(&operation).encode());
        });
    }
    group.finish();
}

criterion_group!(benches, applying, transforming, composing, coding);
criterion_main!(benches);
