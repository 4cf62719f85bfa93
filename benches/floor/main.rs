//! The floor: what the kernel alone asks for the work that a relay cannot do without. Its figures are the denominators
//! of the relay's, if both are measured in one run on one machine.
//!
//! `fanout`: only the sends, of so many frames at once to so many sockets over loopback. `append`: one write and one
//! fdatasync for as many operations as are in flight. `service`: both, and the reads, for so many writers.
//!
//! The sends are plain `send` calls. Submitted through io_uring (fixed files, one submit for 64 or 1,000 of them, each from
//! a buffer of its own, as a relay would need) they were 7 % cheaper with one frame each, and 3 to 6 % with 8 and 16,
//! medians of eight rounds in turn. That is before what comes with it: a buffer for each subscriber that stays until the
//! kernel is done with it, and completions of partial sends. So the relay does not.
//!
//! ```console
//! $ cargo bench --bench floor -- --subscribers 1000 --frames 1,2,4,8,16 --json floor.json
//! ```

mod append;
mod fanout;
mod loopback;
mod processor;
mod service;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};

#[derive(Debug, Parser)]
struct Arguments {
    /// Sockets that are sent to.
    #[arg(long, default_value_t = 1000)]
    subscribers: usize,
    /// Frames in one send.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8,16,32")]
    frames: Vec<usize>,
    /// Bytes of one frame: an operation of 64 bytes makes one of about 120.
    #[arg(long, default_value_t = 120)]
    frame_bytes: usize,
    /// Operations in flight.
    #[arg(long, value_delimiter = ',', default_value = "1,64,1000")]
    in_flight: Vec<usize>,
    /// Writers with a socket each, and a reader each; of none, they are not measured.
    #[arg(long, default_value_t = 1000)]
    writers: usize,
    /// Bytes of one appended operation.
    #[arg(long, default_value_t = 100)]
    operation_bytes: usize,
    /// Where the file is that is appended to: a directory on the disk in question.
    #[arg(long, value_name = "DIRECTORY", default_value_os_t = std::env::temp_dir())]
    disk: PathBuf,
    /// Cores of who sends, or serves, and of the other end.
    #[arg(long, value_delimiter = ',', value_name = "SENDER,RECEIVER")]
    cores: Vec<usize>,
    /// Seconds for each figure of each round.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Rounds, of which medians are taken; every round measures everything, in turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Write the figures to this file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What cargo says when it is to be measured, and not only tried.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A figure's median, and how far the rounds were apart.
fn spread(mut figures: Vec<f64>) -> (f64, f64, f64) {
    figures.sort_by(f64::total_cmp);
    let last = figures.len() - 1;
    (figures[figures.len() / 2], figures[0], figures[last])
}

fn main() {
    let mut arguments = Arguments::parse();
    if !arguments.bench {
        (arguments.subscribers, arguments.writers) = (10, 10);
        (arguments.rounds, arguments.seconds) = (1, 0.01);
    }
    let period = Duration::from_secs_f64(arguments.seconds);
    let rounds = 0..arguments.rounds.max(1);
    let mut fan = fanout::Fanout::new(arguments.subscribers, &arguments.cores);
    let mut sends = vec![Vec::new(); arguments.frames.len()];
    let mut appends = vec![Vec::new(); arguments.in_flight.len()];
    let mut served = Vec::new();
    let mut file = append::Append::new(&arguments.disk);
    for _ in rounds {
        for (figures, frames) in sends.iter_mut().zip(&arguments.frames) {
            let bytes = frames * arguments.frame_bytes;
            figures.push(fan.cpu_us_per_send(bytes, period) / *frames as f64);
        }
        for (figures, in_flight) in appends.iter_mut().zip(&arguments.in_flight) {
            figures.push(file.per_second(*in_flight, arguments.operation_bytes, period));
        }
        if arguments.writers > 0 {
            served.push(service::serve(
                arguments.writers,
                arguments.operation_bytes,
                &arguments.cores,
                &mut file,
                period,
            ));
        }
    }
    fan.finish();

    println!(
        "{} subscribers, frames of {} bytes",
        arguments.subscribers, arguments.frame_bytes
    );
    println!(
        "{:>16} {:>18} {:>20}",
        "frames a send", "CPU µs/delivery", "rounds"
    );
    let mut fanouts: Vec<Value> = Vec::new();
    for (frames, figures) in arguments.frames.iter().zip(sends) {
        let (median, min, max) = spread(figures);
        println!(
            "{frames:>16} {median:>18.3} {:>20}",
            format!("{min:.3} to {max:.3}")
        );
        fanouts.push(
            json!({ "frames": frames, "cpu_us_per_delivery": median, "min": min, "max": max }),
        );
    }
    println!(
        "\noperations of {} bytes, one fdatasync for those in flight",
        arguments.operation_bytes
    );
    println!(
        "{:>16} {:>18} {:>20}",
        "in flight", "operations/s", "rounds"
    );
    let mut appended: Vec<Value> = Vec::new();
    for (in_flight, figures) in arguments.in_flight.iter().zip(appends) {
        let (median, min, max) = spread(figures);
        println!(
            "{in_flight:>16} {median:>18.0} {:>20}",
            format!("{min:.0} to {max:.0}")
        );
        appended.push(json!({ "in_flight": in_flight, "operations_per_second": median, "min": min, "max": max }));
    }
    let mut service = Value::Null;
    if !served.is_empty() {
        let figures = served.iter().map(|one| one.operations_per_second);
        let (median, min, max) = spread(figures.collect());
        let figures = served.iter().map(|one| one.cpu_us_per_operation);
        let (cpu_us, ..) = spread(figures.collect());
        println!(
            "\nread, appended, synced and sent to two, one operation of each writer on its way"
        );
        println!(
            "{:>16} {:>18} {:>20} {:>17}",
            "writers", "operations/s", "rounds", "CPU µs/operation"
        );
        println!(
            "{:>16} {median:>18.0} {:>20} {cpu_us:>17.2}",
            arguments.writers,
            format!("{min:.0} to {max:.0}")
        );
        service = json!({ "writers": arguments.writers, "operations_per_second": median, "min": min, "max": max,
            "cpu_us_per_operation": cpu_us });
    }
    if let Some(path) = &arguments.json {
        let figures = json!({
            "subscribers": arguments.subscribers,
            "frame_bytes": arguments.frame_bytes,
            "operation_bytes": arguments.operation_bytes,
            "rounds": arguments.rounds,
            "fanout": fanouts,
            "append": appended,
            "service": service,
        });
        std::fs::write(path, format!("{figures:#}\n")).expect("the report can be written");
    }
}
