//! The text kind: what the relay does to an operation, and what a client adds to that.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Instant;

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

/// What an edit costs in a document of some size that has had some edits, beside the smallest and youngest one. A late
/// edit is one that a hundred others came before.
fn scale(_: &mut Criterion) {
    const LATE: usize = 100;
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let (sizes, ages, times): (&[usize], &[usize], usize) = match is_measured {
        true => (
            &[10_000, 1_000_000, 10_000_000],
            &[1000, 100_000, 1_000_000],
            20_000,
        ),
        false => (&[10_000], &[1000], 10),
    };
    let mut base = None;
    println!("bytes       edits     apply              transform a late one");
    for &bytes in sizes {
        for &age in ages {
            let mut text = Text::from("a line of text\n".repeat(bytes / 15).as_str());
            let mut history = VecDeque::new();
            for number in 0..age {
                let edit = anywhere(number, bytes);
                text.apply(&edit).expect("it fits");
                history.push_back((number as u64 % 3, edit));
                if history.len() > LATE {
                    history.pop_front();
                }
            }
            let transform = median(times, |number| {
                let mut late = [anywhere(number, bytes)];
                let since = history.iter().map(|(origin, edit)| (*origin, edit));
                transform_batch(&mut late, 1, since);
                black_box(late);
            });
            let apply = median(times, |number| {
                text.apply(&anywhere(number, bytes)).expect("it fits");
            });
            let (apply_base, transform_base) = *base.get_or_insert((apply, transform));
            println!(
                "{bytes:<11} {age:<9} {apply:>7.0} ns ({:>4.2} ×)  {transform:>7.0} ns ({:>4.2} ×)",
                apply / apply_base,
                transform / transform_base,
            );
        }
    }
}

/// Typing or deleting somewhere, so that the document keeps about its length.
fn anywhere(number: usize, bytes: usize) -> Operation {
    let position = number.wrapping_mul(0x9e37_79b9) % (bytes - bytes / 10);
    match number % 2 {
        0 => Operation::splice(position, 0, "x"),
        _ => Operation::splice(position, 1, ""),
    }
}

/// Nanoseconds, of a hundred rounds.
fn median(times: usize, mut work: impl FnMut(usize)) -> f64 {
    const ROUNDS: usize = 100;
    let each = (times / ROUNDS).max(1);
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|round| {
            let started = Instant::now();
            (0..each).for_each(|number| work(round * each + number));
            started.elapsed().as_nanos() as f64 / each as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

criterion_group!(benches, applying, transforming, composing, coding, scale);
criterion_main!(benches);
